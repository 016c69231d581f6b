"""The query parameter that asks for the newest messages of a channel first, in dialects whose handshake says it all."""

from __future__ import annotations

import re

from wsrelay.core.outcomes.errors import HTTPError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse

__all__ = ["MAX_NEWEST", "read_newest"]

MAX_NEWEST = 1000
"""The largest number of newest messages that a client may ask for."""

_COUNT = re.compile("[0-9]{1,4}")


def read_newest(handshake: Handshake) -> int:
    """Return how many of the newest messages the client wants first: the parameter `history`, or 0 without one.

    Raises:
        HTTPError: The parameter is malformed, too large, or there twice.
    """
    values = handshake.parameters("history")
    if not values:
        return 0
    if len(values) > 1 or _COUNT.fullmatch(values[0]) is None or not 0 < int(values[0]) <= MAX_NEWEST:
        raise HTTPError(
            ErrorResponse(400, f"history is the number of newest messages to send first, from 1 to {MAX_NEWEST}.")
        )
    return int(values[0])
