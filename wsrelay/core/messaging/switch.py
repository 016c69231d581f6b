"""The switch: one key in Redis, `<prefix>disabled`, with which an operator turns websockets off for all processes.

::

    SET wsrelay:disabled 'Maintenance until 14:00 UTC'     off, with an explanation for clients
    SET wsrelay:disabled 1                                 off, without one
    DEL wsrelay:disabled                                   on

Processes look the key up every few seconds, and at once when they receive ``{"switch": {}}`` as a control message. That
says nothing itself: messages may overtake each other, and the key cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsrelay.core.outcomes.errors import ClaimError

__all__ = [
    "MAX_EXPLANATION_CHARACTERS",
    "MAX_VALUE_BYTES",
    "NO_EXPLANATION",
    "SwitchChanged",
    "SwitchState",
    "check_explanation",
    "read_switch_changed",
    "read_switch_state",
]

MAX_EXPLANATION_CHARACTERS = 200
"""The longest explanation: a sentence or two, which the chat page shows in one line."""

MAX_VALUE_BYTES = 4 * MAX_EXPLANATION_CHARACTERS + 64
"""How much of the value is read: a longer one has an explanation that is too long, but for white space around it."""

NO_EXPLANATION = "1"
"""The value of the key where nothing is to be explained."""

# Programs that set a flag write one of these.
_FLAGS = frozenset((NO_EXPLANATION, "0", "true", "yes", "on"))


@dataclass(frozen=True, slots=True)
class SwitchState:
    """The position of the switch.

    Attributes:
        is_disabled: Whether websockets, streams and emulation are off.
        explanation: The operator's explanation for clients; an empty text if there is none.
    """

    is_disabled: bool = False
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class SwitchChanged:
    """Tells processes to look the switch up now."""

    def to_bytes(self) -> bytes:
        """Return the control message."""
        return b'{"switch":{}}'


def read_switch_changed(_document: Mapping[str, object]) -> SwitchChanged:
    """Read the object of a control message; later versions may say something in it."""
    return SwitchChanged()


def read_switch_state(value: bytes) -> SwitchState:
    """Read the value of the key, which any program may have written.

    Args:
        value: The value, or at least its first `MAX_VALUE_BYTES` bytes. If empty, there is no key.

    Returns:
        The position. An explanation that cannot be shown is left out: the key counts in any case.
    """
    if not value:
        return SwitchState()
    try:
        text = value[:MAX_VALUE_BYTES].decode().strip()
        explanation = "" if text.lower() in _FLAGS else check_explanation(text)
    except (ClaimError, UnicodeDecodeError):
        explanation = ""
    return SwitchState(is_disabled=True, explanation=explanation)


def check_explanation(text: str) -> str:
    """Return an explanation without white space around it.

    Raises:
        ClaimError: It is too long, or holds something else than printable characters on one line.
    """
    text = text.strip()
    # Half of a surrogate pair is not printable either.
    if len(text) > MAX_EXPLANATION_CHARACTERS or not text.isprintable():
        raise ClaimError(f"an explanation has at most {MAX_EXPLANATION_CHARACTERS} printable characters, on one line")
    return text
