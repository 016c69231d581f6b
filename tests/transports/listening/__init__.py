"""Tests of wsrelay/transports/listening."""
