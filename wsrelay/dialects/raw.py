"""The raw dialect: one channel per URL, payload verbatim.

::

    ws://host/ws/<channel>

    relay -> client   what the channel carries: a text frame where it is valid UTF-8, else a binary frame
    client -> relay   what is published to the channel, where its namespace permits

Nothing is added in either direction, so `redis-cli PUBLISH` and a browser's `new WebSocket(...)` are all it takes.

A client that can put its credential nowhere else sends it as its first message::

    ws://host/ws/<channel>?auth=message

    client -> relay   {"token": "..."} or {"ticket": "..."}
    relay -> client   {"subscribed": "<channel>"}, or a close that says why not
    and from here on as above
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

from zope.interface import implementer

from wsrelay.core.access.credentials import Credential, read_credential
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.commands import Publish, Subscribe
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.errors import ChannelError, HTTPError
from wsrelay.core.wire.frames import message_frame as plain_frame
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.interfaces import IDialect

__all__ = ["RawDialect"]


@implementer(IDialect)
class RawDialect:
    """One channel per URL, payload verbatim."""

    name = "raw"
    path = "/ws/"
    subprotocols = ("wsrelay",)

    def open(self, handshake: Handshake) -> Sequence[Subscribe]:
        """Subscribe to the channel that the URL names, percent-decoded (RFC 3986 section 2.1)."""
        # latin-1 keeps every byte apart, so that a name outside ASCII fails the grammar and nothing else.
        name = unquote_to_bytes(handshake.path.removeprefix(self.path)).decode("latin-1")
        try:
            return [Subscribe(check_channel(name))]
        except ChannelError as error:
            raise HTTPError(ErrorResponse(400, f"Not a channel: {error}. Use /ws/<channel>.")) from None

    def decode(self, payload: bytes) -> Sequence[Publish]:
        """Every message is a publication on the client's channel."""
        return [Publish(None, payload)]

    def credential(self, payload: bytes) -> Credential:
        """See `wsrelay.core.credentials.read_credential`."""
        return read_credential(payload)

    def welcome(self, channels: Sequence[str]) -> bytes:
        """One text message."""
        return plain_frame(json.dumps({"subscribed": channels[0]}).encode())

    def encode(self, publications: Sequence[Publication], message_frame: Callable[[bytes], bytes]) -> bytes:
        """One frame for each publication, joined."""
        if len(publications) == 1:
            return message_frame(publications[0].data)
        return b"".join([message_frame(publication.data) for publication in publications])
