"""Recovery in a real browser: every message once and in order, whatever ends, without a line of page code for it.

The record is the page's own, made by nothing but listeners. A program adds numbered entries by plain XADD all the time.
The outage of Redis lasts `WSRELAY_TEST_OUTAGE_SECONDS`, a few seconds unless that is set.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.ports import free_port
from devtools.harness.redis_server import RedisServer, require_redis
from devtools.harness.relay import Relay
from devtools.harness.stub_application import Request, ThreadedStubApplication
from tests.integration.test_browser import require_browser
from tests.support.browser import Browser, Page
from tests.support.polling import DEADLINE_SECONDS
from tests.support.threaded_proxy import ThreadedProxy

OUTAGE_SECONDS = float(os.environ.get("WSRELAY_TEST_OUTAGE_SECONDS", "5"))
CHANNELS = ("a", "b", "c")
ADD_SECONDS = 0.02

_RECORD = """
    window.record = [];
    window.opened = 0;
    window.source = new EventSource(%s, {withCredentials: %s});
    for (const type of ['message', 'message:a', 'message:b', 'message:c', 'gap', 'close', 'credential'])
        source.addEventListener(type, ({data}) => record.push([type, data]));
    source.addEventListener('subscribed', () => { window.opened += 1 });
    true
"""


class NumberedEntries:
    """Adds numbered entries to the streams of channels, each in turn, while the context lasts.

    Args:
        server: The server that they are added on.

    Attributes:
        count: How many have been added.
    """

    def __init__(self, server: RedisServer) -> None:
        self.count = 0
        self._client = server.client()
        self._end = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._client.close()

    def wait_for_more(self, count: int = 30) -> None:
        """Wait until so many more have been added."""
        target, deadline = self.count + count, time.monotonic() + DEADLINE_SECONDS
        while self.count < target:
            assert self._thread.is_alive(), "nothing is added any more"
            assert time.monotonic() < deadline, "entries are added too slowly"
            time.sleep(ADD_SECONDS)

    def of(self, channel: str) -> list[str]:
        """Return the entries of a channel."""
        return [str(number) for number in range(CHANNELS.index(channel), self.count, len(CHANNELS))]

    def _run(self) -> None:
        while not self._end.wait(ADD_SECONDS):
            channel = CHANNELS[self.count % len(CHANNELS)]
            self._client.xadd(f"wsrelay:{channel}", {"data": str(self.count)}, maxlen=10_000, approximate=True)
            self.count += 1


class RecoveryTests(SynchronousTestCase):
    """EventSource, while its relay and Redis come and go."""

    def setUp(self) -> None:
        """Start Redis, a proxy between it and the relay, and the browser."""
        require_browser()
        require_redis()
        self.redis = self.enterContext(RedisServer())
        self.link = self.enterContext(ThreadedProxy(self.redis.port))
        self.client = self.redis.client()
        self.addCleanup(self.client.close)
        self.browser = self.enterContext(Browser())
        self.port = free_port()
        self.relays = self.enterContext(ExitStack())

    def start(self, *flags: str) -> Relay:
        """Start a relay on the one port of this test."""
        more = ("--history-size", "10000", *flags)
        relay = Relay(*more, port=self.port, env={"REDIS_URL": self.link.url.replace("http", "redis")})
        return self.relays.enter_context(relay)

    def record(self, url: str, target: str, *, with_credentials: bool = False) -> Page:
        """Return a page of an origin whose EventSource records what it is told of."""
        page = self.browser.open(url + "/")
        page.evaluate(_RECORD % (json.dumps(target), json.dumps(with_credentials)))
        return page

    def wait_for_record(self, page: Page, expected: list[list[Any]]) -> None:
        """Wait until the page has recorded as many events, and check that they are these."""
        try:
            page.wait_for(f"record.length >= {len(expected)}")
        finally:
            self.assertEqual(page.evaluate("record"), expected)

    def check_everything_came_once_and_in_order(self, page: Page, entries: NumberedEntries) -> None:
        """Wait for the last entry, and compare the page's record of each channel with what was added to it."""
        page.wait_for(f"record.length >= {entries.count}")
        found: dict[str, list[str]] = {f"message:{channel}": [] for channel in CHANNELS}
        for kind, data in page.evaluate("record"):
            self.assertIn(kind, found, data)
            found[kind].append(data)
        for channel in CHANNELS:
            self.assertEqual(found[f"message:{channel}"], entries.of(channel))

    def test_everything_comes_once_and_in_order_over_a_killed_relay_a_drain_and_an_outage_of_redis(self) -> None:
        """On one stream of several channels, in two tabs."""
        relay = self.start()
        target = "/sse/a?channel=b&channel=c"
        pages = [self.record(relay.url, target) for _ in range(2)]
        for page in pages:
            page.wait_for(f"opened === {len(CHANNELS)}")
        with NumberedEntries(self.redis) as entries:
            entries.wait_for_more()
            ends: tuple[Callable[[Relay], object], ...] = (Relay.kill, Relay.stop)
            for number, end in enumerate(ends, start=2):
                end(relay)
                entries.wait_for_more()
                relay = self.start()
                for page in pages:
                    page.wait_for(f"opened === {number * len(CHANNELS)}")
                entries.wait_for_more()
            with self.link.proxy.closing_at_once():
                self.link.cut()
                relay.wait_for("/readyz", 503)
                before = entries.count
                time.sleep(OUTAGE_SECONDS)
                entries.wait_for_more()
                # Nothing of it can have come yet, so that all of it is recovered.
                self.assertTrue(all(page.evaluate(f"record.length <= {before}") for page in pages))
            relay.wait_for("/readyz")
            entries.wait_for_more()
        for page in pages:
            self.check_everything_came_once_and_in_order(page, entries)
            # An outage of Redis is the relay's affair: the streams stayed open.
            self.assertEqual(page.evaluate("[opened, source.readyState]"), [3 * len(CHANNELS), 1])

    def test_gap_is_told_once_where_redis_has_lost_what_was_missed(self) -> None:
        relay = self.start()
        page = self.record(relay.url, "/sse/a")
        page.wait_for("opened === 1")
        self.client.xadd("wsrelay:a", {"data": "1"})
        self.wait_for_record(page, [["message", "1"]])
        relay.kill()
        self.client.xadd("wsrelay:a", {"data": "2"})
        self.client.flushall()
        self.client.xadd("wsrelay:a", {"data": "3"})
        self.start()
        page.wait_for("opened === 2")
        self.client.xadd("wsrelay:a", {"data": "4"})
        gap = json.dumps({"channel": "a", "reason": "trimmed"}, separators=(",", ":"))
        self.wait_for_record(page, [["message", "1"], ["gap", gap], ["message", "3"], ["message", "4"]])

    def test_page_of_another_origin_recovers_with_its_cookies(self) -> None:
        def answer(request: Request) -> tuple[int, Any]:
            return (200, {"sub": "42"}) if "session=1" in str(request.json()) else (401, None)

        application = ThreadedStubApplication(answer)
        self.addCleanup(application.close)
        other = self.enterContext(Relay("--chat-page", "true"))
        flags = ("--channels", "a", "--access", "authenticated", "--origins", other.url, "--hook-url", application.url)
        relay = self.start(*flags)
        self.browser.open(other.url + "/").evaluate("document.cookie = 'session=1'")
        target = f"{relay.url}/sse/a"
        page = self.record(other.url, target, with_credentials=True)
        page.wait_for("opened === 1")
        self.client.xadd("wsrelay:a", {"data": "1"})
        self.wait_for_record(page, [["message", "1"]])
        relay.kill()
        self.client.xadd("wsrelay:a", {"data": "2"})
        self.start(*flags)
        self.wait_for_record(page, [["message", "1"], ["message", "2"]])
        # Without the cookies it is nobody, and has no right to read.
        page = self.record(other.url, target)
        page.wait_for("source.readyState === 2")
        self.assertEqual(page.evaluate("[opened, record.length]"), [0, 0])
