"""Tests of wsrelay/metrics."""
