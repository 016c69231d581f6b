"""What has happened in this process, counted: plain numbers, because they are raised on the path of every message."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Numbers that only grow. Their names, with ``wsrelay_`` before and ``_total`` behind, are those of the metrics.

    Attributes:
        connections_opened: Connections that completed their handshake.
        requests_rejected: Handshakes answered with an HTTP status, by status.
        connections_closed: Connections that the relay closed, by close code.
        auth_rejections: Who was turned away for want of a credential or a permission, by reason.
        hook_requests: Questions to the application, by outcome.
        client_messages: Messages from clients.
        broker_messages: Messages that the broker delivered to this process.
        deliveries: Messages handed to listeners: one for each message and listener.
        batches_dropped: Batches that a slow listener did not get by its namespace's policy.
        broker_interruptions: How often messages may have been lost between the broker and this process.
        gap_notices: Listeners that were told of it.
        send_failures: Listeners that failed while they were sent to.
    """

    connections_opened: int = 0
    requests_rejected: Counter[int] = field(default_factory=Counter)
    connections_closed: Counter[int] = field(default_factory=Counter)
    auth_rejections: Counter[str] = field(default_factory=Counter)
    hook_requests: Counter[str] = field(default_factory=Counter)
    client_messages: int = 0
    broker_messages: int = 0
    deliveries: int = 0
    batches_dropped: int = 0
    broker_interruptions: int = 0
    gap_notices: int = 0
    send_failures: int = 0
