"""The end of a WebSocket connection, whoever begins it: rejected, closed, half closed, lost.

What was measured to be missing or wrong in Autobahn 26.10 is mended here; each point has its test in
tests/edge/test_autobahn_regressions.py:

- `dropConnection` resets a connection whose input has not been read, and the one whose client has answered our close
  frame always: the client may never see the frame. `_closeConnection` closes in order, within limits.
- Error answers repeat the client's input and have no length: answered with our own responses.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.interfaces import IDialect
from wsrelay.transports.lingering_close import REJECTED_CLIENT_LINGER_SECONDS, LingeringClose
from wsrelay.transports.listening.socket_options import underlying
from wsrelay.transports.websocket.opening import end_connection
from wsrelay.transports.websocket.pausing import PausableConnection

__all__ = ["HANDSHAKE_ERRORS", "UNANSWERED_CLOSE_SECONDS", "ClosableConnection"]

UNANSWERED_CLOSE_SECONDS = 0.25
"""How long a client has to look at our close frame before its connection ends, if its answer is not waited for.

With the resolution of the timers less than the second after which clients end the connection themselves (Autobahn's
does), which RFC 6455 section 7.1.1 leaves to the server."""

HANDSHAKE_ERRORS = {
    400: "The WebSocket handshake is malformed (RFC 6455 section 4.2.1).",
    426: "The relay speaks version 13 of the WebSocket protocol (RFC 6455).",
    500: "The relay failed; its log has the traceback.",
    505: "The relay speaks HTTP/1.1.",
}
"""The texts of the answers to handshakes that fail, by status."""

_ORDINARY_ENDS = (ConnectionDone, ConnectionLost, ConnectionAborted)


@implementer(IHalfCloseableProtocol)
class ClosableConnection(PausableConnection):
    """The end of one WebSocket connection. A base of it, as those below.

    Every path ends in `connectionLost`, which releases everything once. A class on top of it implements
    `Connection.encoding`, for the last messages.

    Attributes:
        dialect: The wire language spoken on the connection.
    """

    dialect: IDialect

    _peer_has_ended = False
    _is_rejected = False
    _address = ""

    def reject(self, response: ErrorResponse) -> None:
        """See `Connection.reject`."""
        if self.state == self.STATE_CONNECTING:
            self.factory.counters.requests_rejected[response.status] += 1
            self.wasNotCleanReason = "rejected"
            self._give_up_place()
            self.transport.write(response.to_bytes())
            self.dropConnection(abort=False)

    def close(self, disconnect: AnyDisconnect) -> None:
        """See `Connection.close`."""
        if self.state == self.STATE_OPEN:
            farewell = self.dialect.close(disconnect)
            self.writer.shut()
            if farewell.messages:
                # Behind what is begun and before the close frame, and never too much for the outbox.
                self.writer.send_control(self.encoding().frame(farewell.messages))
            self.sendCloseFrame(farewell.code, farewell.reason.encode())
            if disconnect in (Disconnect.CREDENTIAL, Disconnect.STALE):
                # Without waiting for an answer: a client that has not authenticated does not keep its place by silence.
                self._give_up_place()
                self.dropConnection(abort=False)
            if self._client is not None:
                self._client.connection_closing(disconnect)
        elif self.state == self.STATE_CONNECTING:
            response = self.factory.connections.response_to(disconnect)
            self.reject(response or ErrorResponse(500, HANDSHAKE_ERRORS[500]))

    def abort(self) -> None:
        """See `RegisteredConnection.abort`."""
        self.transport.abortConnection()

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:  # noqa: N803
        if not isReply and self.state == self.STATE_OPEN and code is not None:
            client, reason = self._client, (reasonUtf8 or b"").decode()
            if client is None:
                self.factory.rejections.record_close(code, reason, ())
            else:
                self.factory.rejections.record_close(code, reason, client.session.channels, client.connection_id)
        # Whichever side closes, nothing may follow the close frame (RFC 6455 section 5.5.1).
        self.writer.shut()
        self._lift_pause()
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def dropConnection(self, abort: bool = False) -> None:
        # Once both close frames have passed there is no reason for a reset, which Autobahn would make of it.
        abort = abort and not self.wasClean
        self.writer.shut()
        if not abort:
            self.writer.finish()
        super().dropConnection(abort)

    def _closeConnection(self, abort: bool = False) -> None:  # noqa: N802 -- Autobahn's name
        if abort:
            self.transport.abortConnection()
            return
        self._lift_pause()
        self._closing = LingeringClose(
            self.transport,
            self.factory.timers.call_later,
            REJECTED_CLIENT_LINGER_SECONDS if self._is_rejected else self.factory.settings.close_timeout_seconds,
            # Nothing needs to be waited for once both close frames have passed, nor behind an HTTP response.
            delay=UNANSWERED_CLOSE_SECONDS if self.closedByMe and not self.wasClean else 0.0,
            peer_has_ended=self._peer_has_ended,
        )
        self._closing.start()

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.readConnectionLost`: a handshake is answered, everything else ends."""
        self._peer_has_ended = True
        if self._closing is not None:
            self._closing.peer_ended()
        elif self.state != self.STATE_CONNECTING:
            self.dropConnection(abort=False)
        else:
            # Nearly always a client that has left; it must not keep others out until the answer comes.
            self._give_up_place()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol.writeConnectionLost`."""

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections.closed(self)
        self.factory.pings.stop(self)
        if self._is_rejected:
            self.factory.http_connections.remove(underlying(self.transport))
        else:
            self.factory.admission.release(self._address)
        self.factory.rate_limits.remove(self)
        try:
            if self.factory.shares_attributes and type(reason.value) in _ORDINARY_ENDS:
                end_connection(self)
            else:
                super().connectionLost(reason)
        finally:
            for pending in (self._closing, self.closeHandshakeTimeoutCall):
                if pending is not None:
                    pending.cancel()
            self.writer.connection_lost()
            if self._client is not None:
                self._client.connection_lost(self.remoteCloseCode)

    def _give_up_place(self) -> None:
        """Be counted no more: a client that is turned away must not keep others out while it is read out.

        Its connection is among those that can be aborted to make room.
        """
        if not self._is_rejected:
            self._is_rejected = True
            self.factory.admission.release(self._address)
            self.factory.http_connections.add(underlying(self.transport))
