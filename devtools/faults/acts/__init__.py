"""The table of faults, by what is broken."""

from devtools.faults.acts import clients, host, link, redis, relay

__all__ = ["clients", "host", "link", "redis", "relay"]
