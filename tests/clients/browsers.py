"""The SDK for JavaScript in a headless Chromium, and pages for it."""

from __future__ import annotations

import atexit
import json
import os
import time
from contextlib import ExitStack
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self
from unittest import SkipTest

from tests.clients.sdk import JAVASCRIPT, PROGRAMS, Record
from tests.support.browser import Browser, Page, find_browser

__all__ = ["BrowserClient", "PageServer", "require_browser", "shared_browser"]

NO_BROWSER = "no Chromium or Chrome found on PATH"
_POLL_SECONDS = 0.02


def require_browser() -> None:
    """Check that there are a browser and the SDK.

    Raises:
        SkipTest: One of them is missing.
        AssertionError: One of them is, in continuous integration (CI is set), where a skip would go unnoticed.
    """
    JAVASCRIPT.require()
    if find_browser() is None:
        if os.environ.get("CI"):
            raise AssertionError(NO_BROWSER)
        raise SkipTest(NO_BROWSER)


@cache
def shared_browser() -> Browser:
    """Return the browser of all tests of this process, with which it ends."""
    # A context of the process: without it the browser would outlive the tests.
    context = ExitStack()
    atexit.register(context.close)
    return context.enter_context(Browser())


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def translate_path(self, path: str) -> str:
        """Return the file of a path. The SDK comes from where it is installed for the tests."""
        if path.startswith("/node_modules/"):
            return str(PROGRAMS / "javascript" / path.partition("?")[0].lstrip("/"))
        return super().translate_path(path)


class PageServer:
    """Serves the files of a folder on loopback while the context lasts.

    Args:
        folder: The folder.

    Attributes:
        url: ``http://127.0.0.1:port``.
    """

    def __init__(self, folder: Path) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _PageRecord(Record):
    """The reports of a page; it is asked for them whenever somebody waits."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page

    def all(self, **fields: Any) -> list[dict[str, Any]]:
        """See `Record.all`."""
        self._take_lines()
        return super().all(**fields)

    def _wait_for_more(self, seconds: float) -> bool:
        if not self._take_lines():
            time.sleep(_POLL_SECONDS)
        return seconds > 0

    def _take_lines(self) -> bool:
        lines = self._page.evaluate("take()")
        for line in lines:
            self.add(line)
        return bool(lines)


class BrowserClient:
    """The SDK in a tab of its own. As a context manager it is opened and left.

    Args:
        transport: websocket, sse or http_stream.

    Attributes:
        record: What it has reported.
    """

    record: Record

    def __init__(self, transport: str) -> None:
        self._transport = transport
        self._calls = 0

    def __enter__(self) -> Self:
        self._server = PageServer(PROGRAMS / "javascript")
        self._server.__enter__()
        self._page = shared_browser().open(f"{self._server.url}/page.html?transport={self._transport}")
        self._page.wait_for("Boolean(globalThis.perform)")
        self.record = _PageRecord(self._page)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._page.evaluate("location.replace('about:blank')")
        self._server.__exit__(kind, error, trace)

    def call(self, do: str, **fields: Any) -> Any:
        """Carry out a command and return its result.

        Raises:
            CallError: It failed.
        """
        self._calls += 1
        self._page.evaluate(f"perform({json.dumps({'call': self._calls, 'do': do, **fields})})")
        return self.record.result(self._calls)

    def pause(self) -> None:
        """Raise NotImplementedError: a page cannot be kept from reading."""
        raise NotImplementedError

    def resume(self) -> None:
        """Do nothing."""
