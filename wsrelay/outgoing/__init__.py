"""Connections that the relay makes itself: TLS with verification, HTTP requests."""
