"""What the application tells all processes: messages on the control channel.

::

    PUBLISH wsrelay:$control '{"disconnect": {"user": "42"}}'

- ``{"disconnect": {"user": "42"}}``: every connection of this user;
- ``{"disconnect": {"connection": "5f0c..."}}``: this connection;
- ``{"disconnect": {"ticket": "..."}}``: the connection that was opened with this ticket;
- ``{"disconnect": {"token": "..."}}``: the connections that were opened with the token of this `jti`.

With ``"reconnect": true``, beside it or within, they are told to come back (4012), else not to (4505).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from wsrelay.core.access.identity import MAX_SUBJECT_BYTES, is_name
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ClaimError

__all__ = ["MAX_CONTROL_BYTES", "TARGETS", "Disconnect", "read_control", "read_disconnect"]

MAX_CONTROL_BYTES = 4096

TARGETS = ("user", "connection", "ticket", "token")
"""What can be disconnected."""


@dataclass(frozen=True, slots=True)
class DisconnectCommand:
    """Connections are to be closed.

    Attributes:
        target: Which: one of `TARGETS`, a colon, and the value.
        disconnect: With what.
    """

    target: str
    disconnect: Disconnect

    def to_bytes(self) -> bytes:
        """The message that says so."""
        kind, _, value = self.target.partition(":")
        document = {"disconnect": {kind: value}, "reconnect": self.disconnect is Disconnect.RECONNECT}
        return json.dumps(document, separators=(",", ":")).encode()


def read_control(payload: bytes) -> DisconnectCommand:
    """What a message on the control channel says.

    Raises:
        ClaimError: Nothing that is known.
    """
    if len(payload) > MAX_CONTROL_BYTES:
        raise ClaimError(f"a control message has at most {MAX_CONTROL_BYTES} bytes")
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        raise ClaimError("a control message is a JSON object") from None
    if not isinstance(document, dict) or not isinstance(document.get("disconnect"), dict):
        raise ClaimError('a control message looks like {"disconnect": {"user": "42"}}')
    beside = {"reconnect": document["reconnect"]} if "reconnect" in document else {}
    return read_disconnect({**beside, **document["disconnect"]})


def read_disconnect(document: Mapping[str, object]) -> DisconnectCommand:
    """Whom an object names with one target, and with `reconnect` how it is told.

    Raises:
        ClaimError: It names nobody, several, or somebody in an unknown way.
    """
    target = dict(document)
    reconnect = target.pop("reconnect", False)
    if not isinstance(reconnect, bool):
        raise ClaimError("reconnect is true or false")
    if len(target) != 1:
        raise ClaimError(f"name one of {', '.join(TARGETS)}, and nothing else but reconnect")
    ((kind, value),) = target.items()
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    # Whoever can be let in can be named here, whatever is in the name; connections and credentials have shorter ones.
    if kind not in TARGETS or not isinstance(value, str) or not is_name(value):
        raise ClaimError(f"name one of {', '.join(TARGETS)}, as a text of 1 to {MAX_SUBJECT_BYTES} bytes")
    return DisconnectCommand(f"{kind}:{value}", Disconnect.RECONNECT if reconnect else Disconnect.REVOKED)
