"""Tests of wsrelay/transports/websocket."""
