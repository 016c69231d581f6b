"""Tests of wsrelay/engine."""
