"""Listening ports, TLS, PROXY headers and the router of new connections."""
