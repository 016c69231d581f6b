"""Tests of wsrelay: brokers."""
