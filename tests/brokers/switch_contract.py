"""The contract of switches, as a suite that each implementation runs."""

from __future__ import annotations

from twisted.trial import unittest

from tests.brokers.contract import WaitingSink, until
from wsrelay.core.messaging.switch import MAX_VALUE_BYTES
from wsrelay.interfaces import IBroker

__all__ = ["SwitchContract"]


class SwitchContract(unittest.TestCase):
    """The contract of `ISwitch`. Subclass it in a test module, and import this module there."""

    timeout = 60

    def make_broker(self) -> IBroker:
        """Return the broker whose switch it is, not yet attached nor started."""
        raise NotImplementedError

    async def ready(self) -> tuple[IBroker, WaitingSink]:
        """Return a broker that is ready, which is stopped at the end of the test, and its sink."""
        broker, sink = self.make_broker(), WaitingSink()
        broker.attach(sink)
        broker.start()
        self.addCleanup(broker.stop)
        await until(lambda: broker.ready)
        return broker, sink

    async def test_value_is_kept_until_it_is_cleared(self) -> None:
        broker, _ = await self.ready()
        switch = broker.switch
        self.assertEqual(await switch.read(), b"")
        for value in (b"1", b"\xff\r\n\x00"):
            await switch.set(value)
            self.assertEqual(await switch.read(), value)
        self.assertEqual([await switch.clear() for _ in range(2)], [True, False])
        self.assertEqual(await switch.read(), b"")

    async def test_beginning_of_a_long_value_is_read_at_least(self) -> None:
        broker, _ = await self.ready()
        await broker.switch.set(b"x" * 100_000)
        self.assertGreaterEqual(len(await broker.switch.read()), MAX_VALUE_BYTES)

    async def test_sink_learns_of_the_connection_before_the_broker_is_ready(self) -> None:
        broker, sink = self.make_broker(), WaitingSink()
        states: list[bool] = []
        self.patch(sink, "connected", lambda: states.append(broker.ready))
        broker.attach(sink)
        broker.start()
        self.addCleanup(broker.stop)
        await until(lambda: broker.ready)
        self.assertEqual(len(states), 1)
