"""Tests of wsrelay/testing."""
