"""Replies of Redis about streams, in RESP2 and RESP3, as values."""

from __future__ import annotations

from typing import Any

from wsrelay.brokers.redis.request_protocol import ResponseError
from wsrelay.core.history.entries import Entry, StreamInfo, StreamLook
from wsrelay.core.history.positions import EntryID, parse_id
from wsrelay.core.outcomes.errors import BrokerUnavailable

__all__ = ["read_entries", "read_entry_id", "read_info", "read_look"]

_NO_SUCH_KEY = "no such key"


def read_entry_id(reply: bytes) -> EntryID:
    """Return an ID from a reply."""
    ms, _, number = reply.partition(b"-")
    return int(ms), int(number)


def read_entries(reply: Any) -> list[Entry]:
    """Return the entries of a reply to XRANGE."""
    # An entry that was deleted while it was read has no fields.
    return [Entry(name, fields) for name, fields in reply if fields]


def read_info(reply: Any) -> StreamInfo:
    """Return the state of a stream from a reply to XINFO STREAM."""
    # RESP2 has a list of names and values in turn.
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    first = fields.get(b"first-entry")
    deleted = fields.get(b"max-deleted-entry-id")
    return StreamInfo(
        int(fields[b"length"]),
        parse_id(fields[b"last-generated-id"].decode()),
        read_entry_id(first[0]) if first else None,
        fields.get(b"entries-added"),
        None if deleted is None else read_entry_id(deleted),
        int(fields.get(b"groups") or 0),
    )


def read_look(replies: list[Any], *, newest_first: bool = False) -> StreamLook:
    """Return a look from the replies to XRANGE or XREVRANGE, XINFO STREAM and TIME in one transaction.

    Raises:
        BrokerUnavailable: One of them is an error.
    """
    entries, info, now = replies
    for reply in (entries, now):
        if isinstance(reply, ResponseError):
            raise BrokerUnavailable(str(reply))
    state: StreamInfo | None = None
    if not isinstance(info, ResponseError):
        state = read_info(info)
    elif _NO_SUCH_KEY not in str(info):
        raise BrokerUnavailable(str(info))
    found = read_entries(entries)
    return StreamLook(found[::-1] if newest_first else found, state, int(now[0]) * 1000 + int(now[1]) // 1000)
