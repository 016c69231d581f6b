"""What has happened in this process, counted: plain numbers, because they are raised on the path of every message."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Numbers that only grow. Their names, with ``wsrelay_`` before and ``_total`` behind, are those of the metrics.

    Attributes:
        opened: Connections that completed their handshake.
        refused: Handshakes answered with an HTTP status, by status.
        closed: Connections that the relay closed, by close code.
        denied: Who was turned away for want of a credential or a permission, by reason.
        hook: Questions to the application, by outcome.
        received: Messages from clients.
        relayed: Messages that the broker delivered to this process.
        deliveries: Messages handed to listeners: one for each message and listener.
        dropped: Batches that a slow listener did not get by its namespace's policy.
        interruptions: How often messages may have been lost between the broker and this process.
        gaps: Listeners that were told of it.
        failures: Listeners that failed while they were sent to.
    """

    opened: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    closed: Counter[int] = field(default_factory=Counter)
    denied: Counter[str] = field(default_factory=Counter)
    hook: Counter[str] = field(default_factory=Counter)
    received: int = 0
    relayed: int = 0
    deliveries: int = 0
    dropped: int = 0
    interruptions: int = 0
    gaps: int = 0
    failures: int = 0
