"""Tests of wsrelay/core/wire."""
