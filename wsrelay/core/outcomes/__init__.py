"""Errors, client errors and disconnects: the tables of what can go wrong."""
