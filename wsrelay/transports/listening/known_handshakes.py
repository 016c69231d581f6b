"""Handshakes that differ from an earlier one in nothing but their key.

The clients of an application send the same head, each with a key of its own (RFC 6455 section 4.1). To read a head, and
to check what it says, takes a third of the time of a handshake; here that is done once for all of a crowd.

The part of a head that is its key is cut out where its field is written as nearly every client writes it. What is left
determines the rest: where it was found in order with one key it is so with any other, as long as that is a key. A head
that was not found in order is not kept, and neither is one with a credential, or with the address of a client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.request_head import RequestHead
from wsrelay.dialects import Route

__all__ = ["KnownHandshake", "KnownHandshakes"]

MAX_KNOWN = 256
"""How many are kept. When there are as many, all are dropped, and those that come again are kept anew."""

MAX_KNOWN_BYTES = 2048
"""The longest head that is kept. Those of browsers have half a kilobyte."""

_BEFORE_KEY = b"\r\nSec-WebSocket-Key: "
_KEY_BYTES = 24
_KEY_AND_END = re.compile(rb"[A-Za-z0-9+/]{22}==\r\n")


@dataclass(slots=True)
class KnownHandshake:
    """A handshake that was in order.

    Attributes:
        route: The route that its path matches.
        request: Its head.
        handshake: What the engine was told of it.
    """

    route: Route
    request: RequestHead
    handshake: Handshake


class KnownHandshakes:
    """The heads that were in order, without their keys.

    Args:
        subprotocols: The subprotocols that are spoken. Any other may be a token.
    """

    def __init__(self, subprotocols: frozenset[str]) -> None:
        self._subprotocols = subprotocols
        # By whether TLS ends here, which decides on the scheme of the origin, and by the head without its key.
        self._known: dict[tuple[bool, bytes], KnownHandshake] = {}

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._known)

    def find(self, head: bytes, *, is_tls: bool) -> tuple[KnownHandshake, bytes] | None:
        """Find what is known of a head.

        Args:
            head: The head, up to and including the empty line at its end.
            is_tls: Whether it came over TLS that ends here.

        Returns:
            The handshake that it equals but for the key, and its own key. If None, it has to be read.
        """
        if not self._known or len(head) > MAX_KNOWN_BYTES:
            return None
        field = head.find(_BEFORE_KEY)
        if field < 0:
            return None
        start = field + len(_BEFORE_KEY)
        end = start + _KEY_BYTES
        known = self._known.get((is_tls, head[:start] + head[end:]))
        if known is None or _KEY_AND_END.match(head, start) is None:
            return None
        return known, head[start:end]

    def add(self, head: bytes, known: KnownHandshake, *, is_tls: bool) -> None:
        """Keep a handshake that was in order, if it may be kept. See `find` for the arguments."""
        request, handshake = known.request, known.handshake
        if (
            not request.key
            or len(head) > MAX_KNOWN_BYTES
            or handshake.query
            or handshake.authorization
            or handshake.cookie
            # No two clients have the same one.
            or b"x-forwarded-for" in request.fields
            or not self._subprotocols.issuperset(request.subprotocols)
        ):
            return
        field = head.find(_BEFORE_KEY)
        start = field + len(_BEFORE_KEY)
        if field >= 0 and _KEY_AND_END.match(head, start) is not None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[is_tls, head[:start] + head[start + _KEY_BYTES :]] = known
