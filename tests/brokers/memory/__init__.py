"""Tests of wsrelay/brokers/memory."""
