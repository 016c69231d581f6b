"""The opening handshake of WebSockets, and the end of their connections, without Autobahn.

Autobahn parses the head that the router has parsed, formats lines that nobody prints, waits for a Deferred even where
the answer is there, and builds the response from what it parsed: together two thirds of the price of a handshake. Here
a head in which everything is as nearly every client writes it (`RequestHead.key`) is taken as read: the connection gets
its 101, and is put into the state in which Autobahn's own `succeedHandshake` would leave it.

tests/transports/websocket/test_opening.py compares every attribute of connections that were opened in either way, and
the answers to thousands of odd heads. Whatever head is not taken here, valid or not, goes Autobahn's way; so does every
one if connections have attributes that `shared_attributes` does not know, as with another version of Autobahn.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from autobahn.websocket.compress import PerMessageDeflate, PerMessageDeflateOfferAccept

__all__ = ["Opening", "complete_handshake", "end_connection"]

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    b"%bSec-WebSocket-Accept: %b\r\n%b\r\n"
)


class Opening:
    """A handshake that has been read and waits for its answer.

    Args:
        key: The Sec-WebSocket-Key.
        subprotocols: What the client offers; it may contain a token.
        offer: The offer of compression that can be accepted. If empty, there is none.
    """

    __slots__ = ("key", "offer", "subprotocols")

    def __init__(self, key: bytes, subprotocols: Sequence[str] = (), offer: bytes = b"") -> None:
        self.key = key
        self.subprotocols = subprotocols
        self.offer = offer


def complete_handshake(
    connection: Any,
    opening: Opening,
    subprotocol: str | None,
    connection_id: str | None,
    compression: PerMessageDeflateOfferAccept | None,
) -> None:
    """Send the 101, and put a connection into its open state.

    Args:
        connection: A `WebSocketConnection` that shares attributes.
        opening: Its handshake.
        subprotocol: The subprotocol to speak. If None, none.
        connection_id: What the client is told that its connection is called. If None, nothing.
        compression: What was agreed on. If None, messages are not compressed.
    """
    fields = extensions = b""
    if connection_id is not None:
        fields = b"X-Connection-Id: %b\r\n" % connection_id.encode()
    if subprotocol is not None:
        fields += b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode()
    if compression is not None:
        made = PerMessageDeflate.create_from_offer_accept(True, compression)
        connection._perMessageCompress = made  # noqa: SLF001 -- no public way
        extensions = b"Sec-WebSocket-Extensions: %b\r\n" % compression.get_extension_string().encode()
    accept = b2a_base64(sha1(opening.key + _MAGIC, usedforsecurity=False).digest(), newline=False)
    connection.writer.send_control(_RESPONSE % (fields, accept, extensions))
    connection.state = connection.STATE_OPEN
    if connection.openHandshakeTimeoutCall is not None:
        connection.openHandshakeTimeoutCall.cancel()
        connection.openHandshakeTimeoutCall = None
    connection.onOpen()
    if connection.data:
        # What the client has sent ahead of the answer.
        connection.consumeData()


def end_connection(connection: Any) -> None:
    """Put a connection that is lost into its last state.

    Instead of Autobahn's `connectionLost`, which formats six lines for that. Nobody waits for `is_closed`, and there is
    no `onClose`.

    Args:
        connection: A `WebSocketConnection` that shares attributes.
    """
    connection.factory.countConnections -= 1
    connection.state = connection.STATE_CLOSED
    if connection.openHandshakeTimeoutCall is not None:
        connection.openHandshakeTimeoutCall.cancel()
        connection.openHandshakeTimeoutCall = None
