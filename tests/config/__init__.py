"""Tests of wsrelay/config."""
