"""Tests of wsrelay/core/history."""
