"""Tests of `wsrelay.commands`."""
