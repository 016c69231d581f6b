"""Tests of wsrelay: auth."""
