"""Tests of wsrelay: core."""
