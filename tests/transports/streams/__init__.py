"""Tests of wsrelay: event streams."""
