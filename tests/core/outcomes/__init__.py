"""Tests of wsrelay/core/outcomes."""
