"""A TCP proxy that misbehaves on request, for tests that block."""

from __future__ import annotations

import asyncio
from threading import Event, Thread
from types import TracebackType
from typing import Self

from devtools.harness.proxy import Proxy

__all__ = ["ThreadedProxy"]


class ThreadedProxy:
    """Runs a `Proxy` in a thread of its own while the context lasts.

    Args:
        upstream: The port of the server.

    Attributes:
        proxy: The proxy. Its context managers may be used from any thread: they change what its next chunk meets.
        url: ``http://127.0.0.1:port``.
    """

    def __init__(self, upstream: int) -> None:
        self.proxy = Proxy(upstream)
        self.url = f"http://127.0.0.1:{self.proxy.port}"
        self._loop = asyncio.new_event_loop()
        self._closed = asyncio.Event()
        self._listening = Event()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End the connections that exist with RST."""
        self._loop.call_soon_threadsafe(self.proxy.cut)

    async def _run(self) -> None:
        try:
            await self.proxy.listen()
        finally:
            self._listening.set()
        await self._closed.wait()
        await self.proxy.close()
