"""Identities, credentials, origins and permissions."""
