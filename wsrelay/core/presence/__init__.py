"""Presence: the members of channels, and the leases by which processes agree on them."""
