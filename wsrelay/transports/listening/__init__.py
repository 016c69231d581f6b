"""Listening ports, TLS and the router of new connections."""
