"""Tests of wsrelay/core/messaging."""
