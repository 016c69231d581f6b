"""Tests of wsrelay/process."""
