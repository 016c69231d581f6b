"""Control messages: what the application or a process tells all processes, or one of them.

::

    PUBLISH wsrelay:$control '{"disconnect": {"user": "42"}}'

- ``{"disconnect": {"user": "42"}}``: every connection of this user;
- ``{"disconnect": {"connection": "5f0c..."}}``: this connection;
- ``{"disconnect": {"ticket": "..."}}``: the connection that was opened with this ticket;
- ``{"disconnect": {"token": "..."}}``: the connections that were opened with the token of this `jti`.

Others are about some connections of a user (`wsrelay.core.messaging.user_commands`), change what those have
(`wsrelay.core.messaging.client_commands`), ask all processes something (`wsrelay.core.messaging.surveys`), or bring one
process a message of its client (`wsrelay.core.messaging.emulated`). One says that the switch was changed
(`wsrelay.core.messaging.switch`).

With ``"reconnect": true``, beside it or within, the clients are told to reconnect (4012), else not to (4505).

During a deploy two adjacent versions run beside each other. A message of a kind that this version does not have is an
`UnknownCommand`: counted, and ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from wsrelay.core.access.identity import MAX_SUBJECT_BYTES, is_name
from wsrelay.core.messaging.client_commands import RefreshCommand, SubscribeCommand, read_refresh, read_subscribe
from wsrelay.core.messaging.emulated import EMULATED_START, MAX_EMULATED_BYTES, EmulatedMessage, read_emulated
from wsrelay.core.messaging.surveys import (
    MAX_REPLY_BYTES,
    REPLY_START,
    SurveyQuestion,
    SurveyReply,
    read_question,
    read_reply,
)
from wsrelay.core.messaging.switch import SwitchChanged, read_switch_changed
from wsrelay.core.messaging.user_commands import (
    SESSION_KIND_END,
    DisconnectUserCommand,
    UnsubscribeCommand,
    read_disconnect_user,
    read_unsubscribe,
)
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ClaimError

__all__ = [
    "MAX_CONTROL_BYTES",
    "TARGETS",
    "ControlCommand",
    "DisconnectCommand",
    "UnknownCommand",
    "read_control",
    "read_disconnect",
]

MAX_CONTROL_BYTES = 16384
"""The longest message but a reply to a survey: a `subscribe` may hold 4 KiB of each info and data, in base64."""

TARGETS = ("user", "connection", "ticket", "token")
"""The kinds of things whose connections can be disconnected."""


@dataclass(frozen=True, slots=True)
class DisconnectCommand:
    """Close connections.

    Attributes:
        target: Which: one of `TARGETS`, a colon, and the value.
        disconnect: How they are closed.
    """

    target: str
    disconnect: Disconnect

    def to_bytes(self) -> bytes:
        """Return the control message."""
        kind, _, value = self.target.partition(":")
        document = {"disconnect": {kind: value}, "reconnect": self.disconnect is Disconnect.RECONNECT}
        return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class UnknownCommand:
    """A command of a kind that this version does not have."""


ControlCommand: TypeAlias = (
    DisconnectCommand
    | DisconnectUserCommand
    | UnsubscribeCommand
    | SubscribeCommand
    | RefreshCommand
    | SurveyQuestion
    | SurveyReply
    | EmulatedMessage
    | SwitchChanged
    | UnknownCommand
)

_LONGER = {REPLY_START: MAX_REPLY_BYTES, EMULATED_START: MAX_EMULATED_BYTES}
"""How messages begin that may be longer than others, and how long."""

_CLIENT_READERS: dict[str, Callable[[Mapping[str, object]], ControlCommand]] = {
    "disconnect_user": read_disconnect_user,
    "unsubscribe": read_unsubscribe,
    "subscribe": read_subscribe,
    "refresh": read_refresh,
}

_READERS: dict[str, Callable[[Mapping[str, object]], ControlCommand]] = {
    **_CLIENT_READERS,
    **{f"{kind}{SESSION_KIND_END}": read for kind, read in _CLIENT_READERS.items()},
    "emulated": read_emulated,
    "survey": read_question,
    "survey_reply": read_reply,
    "switch": read_switch_changed,
}


def read_control(payload: bytes) -> ControlCommand:
    """Read a control message.

    Raises:
        ClaimError: It is malformed, or a command of a known kind that makes no sense.
    """
    limit = next((size for start, size in _LONGER.items() if payload.startswith(start)), MAX_CONTROL_BYTES)
    if len(payload) > limit:
        raise ClaimError(f"a control message has at most {limit} bytes")
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        raise ClaimError("a control message is a JSON object") from None
    if not isinstance(document, dict) or not document:
        raise ClaimError('a control message looks like {"disconnect": {"user": "42"}}')
    if "disconnect" not in document:
        return _read_other(document)
    if not isinstance(document["disconnect"], dict):
        raise ClaimError('a control message looks like {"disconnect": {"user": "42"}}')
    beside = {"reconnect": document["reconnect"]} if "reconnect" in document else {}
    return read_disconnect({**beside, **document["disconnect"]})


def _read_other(document: Mapping[str, object]) -> ControlCommand:
    for kind, read in _READERS.items():
        if kind in document:
            inner = document[kind]
            if not isinstance(inner, dict):
                raise ClaimError(f"{kind} in a control message is a JSON object")
            return read(inner)
    return UnknownCommand()


def read_disconnect(document: Mapping[str, object]) -> DisconnectCommand:
    """Read an object that names one target, and with `reconnect` how its connections are closed.

    Raises:
        ClaimError: It names no target, several, or one of an unknown kind.
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
    # Every user that can be authenticated can be named here; connections and credentials have shorter names.
    if kind not in TARGETS or not isinstance(value, str) or not is_name(value):
        raise ClaimError(f"name one of {', '.join(TARGETS)}, as a text of 1 to {MAX_SUBJECT_BYTES} bytes")
    return DisconnectCommand(f"{kind}:{value}", Disconnect.RECONNECT if reconnect else Disconnect.REVOKED)
