"""Tests of wsrelay/app."""
