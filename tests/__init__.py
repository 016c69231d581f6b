"""Tests of wsrelay, in the order of its rooms."""
