"""Tests of wsrelay/engine/operations."""
