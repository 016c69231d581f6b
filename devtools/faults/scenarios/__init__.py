"""The table of faults, by what is broken."""

from devtools.faults.scenarios import clients, host, link, redis, relay

__all__ = ["clients", "host", "link", "redis", "relay"]
