"""Tests of wsrelay/brokers/redis."""
