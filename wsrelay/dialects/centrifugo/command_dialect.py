"""The part that all forms of Centrifugo's bidirectional protocol share."""

from __future__ import annotations

from collections.abc import Sequence

from wsrelay.core.messaging.commands import Command
from wsrelay.core.messaging.messages import Farewell, Message
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.sessions.acceptance import Acceptance
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects.centrifugo.codes import farewell

__all__ = ["CommandDialect"]


class CommandDialect:
    """A form in which everything is asked by commands. Subclasses read and write it."""

    acceptance = Acceptance.AT_ONCE
    has_gap_event = False
    has_session = False
    is_verbatim = False
    has_pong = True

    def open(self, _handshake: Handshake) -> Sequence[Command]:
        """Ask for nothing: everything is asked by commands."""
        return ()

    def first_message(self, _handshake: Handshake) -> Message | None:
        """Find nothing: the connect comes as a message of its own."""
        return None

    def close(self, disconnect: AnyDisconnect) -> Farewell:
        """See `wsrelay.dialects.centrifugo.codes.farewell`."""
        return farewell(disconnect)
