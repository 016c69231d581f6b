"""Tests of `wsrelay.brokers.memory.switch`."""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.brokers import switch_contract
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.interfaces import IBroker


class MemorySwitchTests(switch_contract.SwitchContract):
    """The contract, in one process."""

    def make_broker(self) -> IBroker:
        return MemoryBroker(Clock())
