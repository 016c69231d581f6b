"""Tests of `wsrelay.workers`."""
