"""Tests of wsrelay/dialects/centrifugo."""
