"""Tests of wsrelay: integration."""
