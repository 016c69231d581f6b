"""Tests of wsrelay.web."""
