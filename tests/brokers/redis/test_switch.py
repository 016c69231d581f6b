"""Tests of `wsrelay.brokers.redis.switch` against a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.brokers import switch_contract
from tests.brokers.contract import until
from tests.brokers.redis.test_broker import OnRedis
from wsrelay.core.messaging.switch import MAX_VALUE_BYTES
from wsrelay.core.outcomes.errors import BrokerUnavailable


# A base for the type checker alone, which mypy takes for none.
class OnRedisSwitch(OnRedis, switch_contract.SwitchContract if TYPE_CHECKING else object):  # type: ignore[misc]
    """The switch of a broker on a server of its own."""


class RedisSwitchTests(OnRedisSwitch, switch_contract.SwitchContract):
    """The contract, and the key as other programs see it."""

    async def test_it_is_one_plain_key(self) -> None:
        broker, _ = await self.ready()
        client = self.redis()
        await broker.switch.set(b"back at 14:00")
        self.assertEqual((client.get("wsrelay:disabled"), client.ttl("wsrelay:disabled")), (b"back at 14:00", -1))
        client.delete("wsrelay:disabled")
        self.assertEqual(await broker.switch.read(), b"")

    async def test_value_of_any_length_costs_a_short_reply(self) -> None:
        broker, _ = await self.ready()
        self.redis().set("wsrelay:disabled", b"x" * 10_000_000)
        self.assertEqual(await broker.switch.read(), b"x" * MAX_VALUE_BYTES)

    async def test_key_of_another_type_cannot_be_read(self) -> None:
        broker, _ = await self.ready()
        self.redis().rpush("wsrelay:disabled", "x")
        with self.assertRaises(BrokerUnavailable) as caught:
            await broker.switch.read()
        self.assertEqual(caught.exception.code, "WRONGTYPE")

    async def test_sink_learns_of_each_connection(self) -> None:
        broker, sink = await self.ready()
        self.assertEqual(sink.connections, 1)
        self.redis().client_kill_filter(_type="normal", skipme=True)
        await until(lambda: sink.connections == 2 and broker.ready)
