"""A TCP balancer: each connection goes to one of several servers, chosen at random among those that accept it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from devtools.harness.proxy import Proxy

__all__ = ["Balancer"]


class Balancer(Proxy):
    """Listens on a port of its own.

    Args:
        upstreams: The ports of the servers.
        rng: Chooses.
    """

    def __init__(self, upstreams: Sequence[int], rng: Random) -> None:
        super().__init__(upstreams[0])
        self._upstreams = list(upstreams)
        self._rng = rng

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See `Proxy.connect`."""
        error = OSError("no servers")
        for port in self._rng.sample(self._upstreams, len(self._upstreams)):
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError as this:
                error = this
        raise error
