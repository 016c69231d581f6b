"""Finds out who a client is."""
