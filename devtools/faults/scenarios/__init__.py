"""The table of faults, by what is broken."""

from devtools.faults.scenarios import clients, history, host, link, overload, redis, relay

__all__ = ["clients", "history", "host", "link", "overload", "redis", "relay"]
