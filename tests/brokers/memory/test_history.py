"""Tests of `wsrelay.brokers.memory.history`."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from tests.brokers import history_contract
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.core.history.positions import EntryID
from wsrelay.interfaces import IBroker

REACTOR: Any = reactor


class MemoryHistoryTests(history_contract.HistoryContract):
    """The contract, inside one process: whoever adds is the relay."""

    def make_broker(self) -> IBroker:
        self.memory = MemoryBroker(REACTOR)
        return self.memory

    def add(self, channel: str, *fields: bytes) -> Deferred[EntryID]:
        """Add an entry past the interface, which knows one field only."""
        return succeed(self.memory.history.add(channel, fields, history_contract.DAY))

    def delete(self, channel: str, entry_id: EntryID) -> None:
        self.memory.history._streams[channel].delete(entry_id)
