"""Messages of clients whose transport has one direction: each is a request of its own, which any process may get.

::

    {"emulated": {"session": "...", "data": "<base64>", "binary": false}}

The process that gets the request passes it on to the one that has the client, by a control message.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.errors import ClaimError

__all__ = ["EMULATED_START", "MAX_EMULATED_BYTES", "EmulatedMessage", "read_emulated"]

MAX_EMULATED_BYTES = 96 * 1024
"""The longest control message of this kind: a request of 64 KiB in base64, and its session."""

EMULATED_START = b'{"emulated":'
"""How these messages begin, which may be longer than others."""


@dataclass(frozen=True, slots=True)
class EmulatedMessage:
    """A message of a client.

    Attributes:
        session: The secret name of the client's session.
        message: The message.
    """

    session: str = field(repr=False)
    message: Message

    def to_bytes(self) -> bytes:
        """Return the control message."""
        data, is_binary = self.message
        body = {"session": self.session, "data": b64encode(data).decode(), "binary": is_binary}
        return b"%b%b}" % (EMULATED_START, json.dumps(body, separators=(",", ":")).encode())


def read_emulated(document: Mapping[str, object]) -> EmulatedMessage:
    """Read what such a control message holds.

    Raises:
        ClaimError: It is malformed.
    """
    session, data, is_binary = (document.get(name) for name in ("session", "data", "binary"))
    if not isinstance(session, str) or not isinstance(data, str) or not isinstance(is_binary, bool):
        raise ClaimError("emulated has a session, data and binary")
    try:
        return EmulatedMessage(session, Message(b64decode(data, validate=True), is_binary))
    except ValueError:
        raise ClaimError("the data of emulated is base64") from None
