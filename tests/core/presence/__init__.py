"""Tests of `wsrelay.core.presence`."""
