"""Tests of wsrelay: dialects."""
