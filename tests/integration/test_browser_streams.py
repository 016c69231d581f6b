"""EventSource in a real browser, against real relays: what it does by itself when they end."""

from __future__ import annotations

import json
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.ports import free_port
from devtools.harness.redis_server import RedisServer, require_redis
from devtools.harness.relay import Relay
from tests.integration.test_browser import require_browser
from tests.support.browser import Browser, Page

_RECORD = """
    window.seen = [];
    window.source = new EventSource(%s);
    for (const type of ['message', 'message:a', 'message:b', 'gap', 'credential'])
        source.addEventListener(type, event => seen.push([type, event.data, event.lastEventId]));
    window.subscribed = window.errors = 0;
    source.addEventListener('subscribed', () => { window.subscribed += 1 });
    source.addEventListener('error', () => { window.errors += 1 });
    true
"""


class EventSourceTests(SynchronousTestCase):
    """A page without a line of code for reconnecting."""

    def setUp(self) -> None:
        """Start a browser and Redis, ended with the test."""
        require_browser()
        require_redis()
        self.redis = self.enterContext(RedisServer())
        self.client = self.redis.client()
        self.addCleanup(self.client.close)
        self.browser = self.enterContext(Browser())
        self.port = free_port()

    def relay(self, *flags: str) -> Relay:
        """Return a relay whose channels have history, always on the same port."""
        more = ("--channels", "*", "--history-size", "100", "--chat-page", "true", *flags)
        return Relay(*more, port=self.port, env={"REDIS_URL": self.redis.url})

    def add(self, channel: str, *texts: str) -> None:
        """Add entries as any program does."""
        for text in texts:
            self.client.xadd(f"wsrelay:{channel}", {"data": text})

    def listen(self, relay: Relay, target: str, channels: int = 1) -> Page:
        """Return a page of the relay's own host with an EventSource that is subscribed."""
        page = self.browser.open(relay.url + "/")
        page.evaluate(_RECORD % json.dumps(target))
        page.wait_for(f"window.subscribed === {channels}")
        return page

    def seen(self, page: Page, count: int) -> list[list[Any]]:
        """Return type and data of the events that the page was told of, once there are so many."""
        page.wait_for(f"window.seen.length >= {count}")
        found: list[list[Any]] = page.evaluate("window.seen.map(each => each.slice(0, 2))")
        return found

    def test_event_source_survives_a_killed_relay_and_a_drain_and_gets_everything_once(self) -> None:
        relay = self.relay().start()
        self.addCleanup(lambda: relay.close())
        page = self.listen(relay, "/sse/a?channel=b", 2)
        self.add("a", "1")
        self.add("b", "2")
        expected = [["message:a", "1"], ["message:b", "2"]]
        self.assertEqual(sorted(self.seen(page, 2)), expected)
        for end, number in ((relay.kill, 3), (relay.stop, 5)):
            end()
            relay.close()
            self.add("a", f"{number}")
            self.add("b", f"{number + 1}")
            relay = self.relay().start()
            expected += [["message:a", f"{number}"], ["message:b", f"{number + 1}"]]
            self.assertEqual(sorted(self.seen(page, len(expected))), sorted(expected))
        self.assertEqual(page.evaluate("source.readyState"), 1)

    def test_event_source_waits_for_a_relay_without_redis(self) -> None:
        with self.relay() as relay:
            page = self.browser.open(relay.url + "/")
            self.redis.signal(signal.SIGSTOP)
            relay.wait_for("/readyz", 503)
            page.evaluate(_RECORD % '"/sse/a"')
            page.wait_for("window.errors > 0")
            self.assertEqual(page.evaluate("[source.readyState, window.subscribed]"), [0, 0])
            self.redis.signal(signal.SIGCONT)
            page.wait_for("window.subscribed === 1")
            self.assertEqual(page.evaluate("source.readyState"), 1)

    def test_event_source_waits_for_a_place(self) -> None:
        # Without the chat page, which connects as well.
        flags = ("--channels", "*", "--max-connections", "1")
        with Relay(*flags, env={"REDIS_URL": self.redis.url}) as relay:
            page = self.browser.open(relay.url + "/")
            page.evaluate("window.first = new EventSource('/sse/a'); true")
            page.wait_for("first.readyState === 1")
            page.evaluate(_RECORD % '"/sse/b"')
            page.wait_for("window.errors > 0")
            self.assertEqual(page.evaluate("source.readyState"), 0)
            page.evaluate("first.close()")
            page.wait_for("window.subscribed === 1")

    def test_page_with_a_ticket_is_told_to_come_back_with_a_new_one_from_its_position(self) -> None:
        with self.relay("--access", "authenticated") as relay:
            for ticket in ("first", "second"):
                self.client.set(f"wsrelay:ticket:{ticket}-0123456789abcdef", json.dumps({"sub": "42"}), ex=60)
            page = self.listen(relay, "/sse/a?ticket=first-0123456789abcdef")
            self.add("a", "1")
            self.seen(page, 1)
            self.client.publish("wsrelay:$control", json.dumps({"disconnect": {"user": "42"}, "reconnect": True}))
            self.assertEqual(self.seen(page, 2)[1][0], "credential")
            position = page.evaluate("window.seen[1][2]")
            page.evaluate("source.close()")
            self.add("a", "2")
            page.evaluate(_RECORD % json.dumps(f"/sse/a?ticket=second-0123456789abcdef&since={position}"))
            self.assertEqual(self.seen(page, 1), [["message", "2"]])

    def test_spent_ticket_ends_an_event_source_for_good(self) -> None:
        with self.relay("--access", "authenticated") as relay:
            page = self.browser.open(relay.url + "/")
            page.evaluate(_RECORD % '"/sse/a?ticket=none-0123456789abcdef"')
            page.wait_for("source.readyState === 2")
            self.assertEqual(page.evaluate("seen"), [])
