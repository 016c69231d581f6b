"""The opening handshake of a WebSocket connection, from its first byte to the state in which it is open.

A head that the router has read completely is answered without Autobahn (`opening`); any other is read by it. What was
measured to be missing or wrong in Autobahn 26.10 is mended here; each point has its test in
tests/edge/test_autobahn_regressions.py:

- `onConnect` runs again for a second request head that comes while the first one waits for its answer, and `onOpen`
  runs after the connection is gone: `processHandshake` and `succeedHandshake` look first.
- What comes before the handshake is answered is kept without limit: bounded in `processHandshake`.
"""

from __future__ import annotations

from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from twisted.internet.defer import Deferred

from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.engine.encodings import Encoding
from wsrelay.transports.websocket.closing import HANDSHAKE_ERRORS, ClosableConnection
from wsrelay.transports.websocket.compression import accept_offer
from wsrelay.transports.websocket.opening import Opening, complete_handshake
from wsrelay.transports.websocket.shared_attributes import HANDSHAKE_ATTRIBUTES

__all__ = ["HandshakingConnection"]


class HandshakingConnection(ClosableConnection):
    """The opening handshake of one WebSocket connection. A base of it, as those below.

    It begins in `begin` with a head that was read, or else with the first bytes, and makes the client; the client's
    `accept` or `reject` ends it. A class on top of it sets the handshake.
    """

    _answer: Deferred[Any] | None = None
    _opening: Opening | None = None
    _handshake: Handshake | None = None
    _compression: PerMessageDeflateOfferAccept | None = None

    def encoding(self, frames: FrameType = FrameType.AUTO) -> Encoding:
        """See `Connection.encoding`."""
        # The second one is what the handshake leaves of the first.
        is_compressed = self._compression is not None or self._perMessageCompress is not None
        return self.factory.encoding(self.dialect, frames, is_compressed=is_compressed)

    def offer_compression(self) -> None:
        """See `Connection.offer_compression`."""
        if self._opening is not None:
            offers = self._parseExtensionsHeader(self._opening.offer.decode()) if self._opening.offer else ()
        else:
            offers = self.websocket_extensions
        self._compression = accept_offer(offers)

    def accept(self, connection_id: str | None) -> None:
        """See `Connection.accept`."""
        if self._opening is not None:
            self._accept(self._opening, connection_id)
        elif self._answer is not None:
            # The router lets Autobahn see those of all dialects, and no others.
            offered = self.websocket_protocols or ()
            chosen = next((name for name in offered if name in self.dialect.subprotocols), None)
            answer = chosen if connection_id is None else (chosen, {"X-Connection-Id": connection_id})
            self._answer.callback(answer)

    def begin(self, rest: bytes) -> None:
        """Begin with the opening request that the connection was made with.

        Args:
            rest: The bytes that arrived behind the head.
        """
        self.data = rest
        self._client = self.factory.client(self)
        self._open_client()
        if self.state == self.STATE_CONNECTING:
            # Most are answered by now.
            self.factory.connections.handshake_begun(self)
            self._start_handshake_timer()

    def processHandshake(self) -> None:
        if self._client is None:
            super().processHandshake()
            self._open_client()
        elif len(self.data) > self.factory.settings.max_head_bytes:
            self.dropConnection(abort=True)

    def onConnect(self, _request: object) -> Deferred[Any]:
        self.factory.connections.handshake_begun(self)
        self._answer = answer = Deferred[Any]()
        self._client = self.factory.client(self)
        return answer

    def _open_client(self) -> None:
        # Autobahn waits for the answer by now. Before that a client that is accepted at once would have no 101 yet, and
        # what it is sent first would have no place behind it.
        client = self._client
        try:
            if client is not None and self._handshake is not None:
                client.open(self._handshake)
        except Exception:  # noqa: BLE001 -- Autobahn would show the client what it says
            self.factory.log.failure("a handshake failed")
            # With 500, or in a connection that is open by then, with the code for it.
            self.close(Disconnect.INTERNAL_ERROR)

    def succeedHandshake(self, result: object) -> None:
        if self._may_open():
            self._answer = None
            super().succeedHandshake(result)
            if self._peer_has_ended:
                # It can answer no ping.
                self.dropConnection(abort=False)

    def _accept(self, opening: Opening, connection_id: str | None) -> None:
        """Do what `succeedHandshake` does."""
        if self._may_open():
            chosen = None
            if opening.subprotocols:
                spoken = self.dialect.subprotocols
                chosen = next((name for name in opening.subprotocols if name in spoken), None)
            complete_handshake(self, opening, chosen, connection_id, self._compression)
            if self._peer_has_ended:
                # It can answer no ping.
                self.dropConnection(abort=False)

    def _may_open(self) -> bool:
        if (refusal := self.factory.connections.refusal) is not None:
            # It waited for its answer while the drain began, and has not been closed by that.
            self.reject(refusal)
            return False
        is_waiting: bool = self.state == self.STATE_CONNECTING
        return is_waiting

    def _start_handshake_timer(self) -> None:
        self.openHandshakeTimeoutCall = self.factory.timers.call_later(
            self.openHandshakeTimeout, self.onOpenHandshakeTimeout
        )

    def failHandshake(self, _reason: str, code: int = 400, _headers: object = None) -> None:
        # Autobahn answers a version it does not speak with 400; RFC 6455 section 4.4 wants 426 and the version.
        if code == 400 and self._asks_for_other_version():
            code = 426
        headers = (("Sec-WebSocket-Version", "13"),) if code == 426 else ()
        self.reject(ErrorResponse(code, HANDSHAKE_ERRORS.get(code, HANDSHAKE_ERRORS[400]), headers))

    def perMessageCompressionAccept(self, _offers: object) -> Any:  # noqa: N802 -- Autobahn's name
        return self._compression

    def _onOpen(self) -> None:  # noqa: N802 -- Autobahn's name
        # Without a look at the transport's details, which are not collected.
        self.onOpen()

    def onOpen(self) -> None:
        self.factory.connections.opened(self)
        self.factory.counters.connections_opened += 1
        self.writer.open()
        self.factory.pings.start(self)
        if self.factory.shares_attributes:
            self._forget_handshake()

    def _forget_handshake(self) -> None:
        """Let go of what the opening handshake left, and take a dictionary that fits what remains."""
        if HANDSHAKE_ATTRIBUTES.issuperset(self.__dict__):
            # Of most.
            del self.__dict__
            return
        of_class = type(self)
        kept = {
            name: value
            for name, value in vars(self).items()
            if name not in HANDSHAKE_ATTRIBUTES and getattr(of_class, name, _Missing) is not value
        }
        if kept:
            self.__dict__ = kept
        else:
            del self.__dict__

    def _asks_for_other_version(self) -> bool:
        version = getattr(self, "http_headers", {}).get("sec-websocket-version", "")
        return bool(version) and version != "13"


class _Missing:
    """No attribute is this."""
