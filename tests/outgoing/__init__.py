"""Tests of wsrelay/outgoing."""
