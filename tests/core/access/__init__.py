"""Tests of wsrelay/core/access."""
