"""Tests of wsrelay/web/api."""
