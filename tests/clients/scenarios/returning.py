"""Relays and Redis servers that end, clients that do not read, and the way back."""

from __future__ import annotations

import signal
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from valkey.exceptions import ValkeyError

from tests.clients.relays import Site
from tests.clients.scenarios.case import ScenarioCase
from tests.support.polling import wait_until

__all__ = ["NumberedEntries", "ReturningScenarios", "SlowScenarios"]


class NumberedEntries:
    """Adds the numbers from 0 to a channel by plain XADD, all the time, while the context lasts.

    Args:
        site: Where they are added. It may lose its server meanwhile; an entry is added when it is back.
        channel: The channel.

    Attributes:
        count: How many have been added.
    """

    def __init__(self, site: Site, channel: str) -> None:
        self.count = 0
        self._site = site
        self._channel = channel
        self._end = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(30)

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until so many more have been added."""
        target = self.count + count
        wait_until(lambda: self.count >= target, lambda: f"{self.count} of {target}")

    def _run(self) -> None:
        while not self._end.wait(0.01):
            try:
                self._site.add(self._channel, self.count)
            except ValkeyError:
                continue
            self.count += 1


class ReturningScenarios(ScenarioCase):
    """The client is connected, something ends, and the client comes back by itself."""

    def test_every_entry_arrives_once_and_in_order_over_a_killed_relay(self) -> None:
        site, channel = self.own_site(), self.channel("kept")
        self.connect()
        self.subscribe(channel, recoverable=True)
        with NumberedEntries(site, channel) as entries:
            entries.wait_for_more()
            site.relay.kill()
            entries.wait_for_more()
            site.start_relay()
            self.take("connected")
            back = self.take("subscribed")
            entries.wait_for_more()
        self.assertEqual((back["was_recovering"], back["recovered"]), (True, True))
        self.assert_values(channel, range(entries.count))

    def test_every_entry_arrives_once_and_in_order_over_a_restart_of_redis(self) -> None:
        site, channel = self.own_site("--appendonly", "yes", "--appendfsync", "always"), self.channel("kept")
        self.connect()
        self.subscribe(channel, recoverable=True)
        with NumberedEntries(site, channel) as entries:
            entries.wait_for_more()
            site.redis.kill()
            site.relay.wait_for("/readyz", 503)
            site.redis.start()
            entries.wait_for_more()
        self.assert_values(channel, site.entries(channel))
        self.assertGreaterEqual(len(site.entries(channel)), entries.count)
        self.assertEqual(self.client.record.all(event="disconnected"), [])

    def test_client_returns_from_a_relay_that_is_stopped(self) -> None:
        site, channel = self.own_site(), self.channel("kept")
        self.connect()
        self.subscribe(channel, recoverable=True)
        with NumberedEntries(site, channel) as entries:
            entries.wait_for_more()
            site.relay.signal(signal.SIGTERM)
            told = self.take("connecting", code=3001)
            site.relay.wait()
            site.start_relay()
            self.take("connected")
            self.assertTrue(self.take("subscribed")["recovered"])
            entries.wait_for_more()
        self.assertEqual(told["reason"], "service restart")
        self.assert_values(channel, range(entries.count))


class SlowScenarios(ScenarioCase):
    """Clients that do not read. A page cannot be kept from reading."""

    def test_client_that_does_not_read_is_closed_with_3008_and_comes_back(self) -> None:
        channel = self.channel("plain")
        self.connect()
        self.subscribe(channel)
        closed = self.site.closed(3008)
        self.client.pause()
        self.addCleanup(self.client.resume)
        # More than the buffers of the system, of the relay and of the SDK together.
        large: Any = "x" * 200_000
        for _ in range(200):
            self.site.publish(channel, large)
            if self.site.closed(3008) > closed:
                break
        wait_until(lambda: self.site.closed(3008) > closed, lambda: "the relay has not closed the connection")
        self.client.resume()
        self.take("connected")
        self.take("subscribed")
        self.site.publish(channel, "back")
        self.assertEqual(self.take("publication", channel=channel, data="back")["data"], "back")
