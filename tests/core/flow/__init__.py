"""Tests of wsrelay/core/flow."""
