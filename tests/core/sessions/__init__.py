"""Tests of wsrelay/core/sessions."""
