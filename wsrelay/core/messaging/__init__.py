"""Channels, namespaces, publications, commands and control messages."""
