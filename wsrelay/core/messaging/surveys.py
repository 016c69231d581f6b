"""Control messages with which one process asks all others something, and gets their replies.

::

    {"survey": {"id": 7, "node": "5f0c...", "pattern": "room:*"}}     to all: the channels here, and how many subscribe
    {"survey": {"id": 8, "node": "5f0c..."}}                          to all: the numbers of each process
    {"survey_reply": {"id": 7, "node": "81aa...", ...}}               to the one that asked

Nothing is kept in Redis for it, and a process of an older version does not reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wsrelay.core.outcomes.errors import ClaimError

__all__ = [
    "MAX_PATTERN_CHARACTERS",
    "MAX_REPLY_BYTES",
    "REPLY_START",
    "NodeNumbers",
    "SurveyQuestion",
    "SurveyReply",
    "read_question",
    "read_reply",
]

MAX_REPLY_BYTES = 256 * 1024
"""The longest reply. A process whose channels do not fit leaves the others out, and says so."""

MAX_PATTERN_CHARACTERS = 255

REPLY_START = b'{"survey_reply":'
"""The beginning of every reply, by which it may be longer than other control messages."""

_NODE = re.compile("[0-9A-Za-z-]{1,64}")
_NUMBERS = ("clients", "users", "channels", "subscriptions", "uptime")


@dataclass(frozen=True, slots=True)
class SurveyQuestion:
    """A question to all processes.

    Attributes:
        id: The number of the question, for the one that asks.
        node: The process that asks.
        pattern: The channels that it asks for, as a glob. If None, it asks for the numbers of each process.
    """

    id: int
    node: str
    pattern: str | None = None

    def to_bytes(self) -> bytes:
        """Return the control message."""
        pattern = {} if self.pattern is None else {"pattern": self.pattern}
        return _dump({"survey": {"id": self.id, "node": self.node, **pattern}})


@dataclass(frozen=True, slots=True)
class NodeNumbers:
    """The numbers of one process.

    Attributes:
        name: What its operator may know it by.
        version: The version of the relay.
        clients: The number of its connections.
        users: The number of different users among them; all anonymous clients count as one.
        channels: The number of channels with subscribers.
        subscriptions: The number of subscriptions.
        uptime: How long it has been running, in seconds.
    """

    name: str = ""
    version: str = ""
    clients: int = 0
    users: int = 0
    channels: int = 0
    subscriptions: int = 0
    uptime: int = 0


@dataclass(frozen=True, slots=True)
class SurveyReply:
    """The reply of one process.

    Attributes:
        id: The number of the question.
        node: The process that replies.
        numbers: Its numbers. If None, it was asked for channels.
        channels: The number of subscriptions to each channel.
        is_complete: Whether these are all channels that were asked for.
    """

    id: int
    node: str
    numbers: NodeNumbers | None = None
    channels: Mapping[str, int] = field(default_factory=dict)
    is_complete: bool = True

    def to_bytes(self) -> bytes:
        """Return the control message, at most `MAX_REPLY_BYTES` long."""
        document: dict[str, object] = {"id": self.id, "node": self.node}
        if self.numbers is not None:
            numbers = {name: getattr(self.numbers, name) for name in ("name", "version", *_NUMBERS)}
            return _dump({"survey_reply": {**document, "numbers": numbers}})
        # All but the names and numbers takes less than this.
        room = MAX_REPLY_BYTES - 256
        fitting: dict[str, int] = {}
        for channel, count in self.channels.items():
            room -= len(channel) + len(str(count)) + 4
            if room < 0:
                break
            fitting[channel] = count
        is_complete = self.is_complete and len(fitting) == len(self.channels)
        return _dump({"survey_reply": {**document, "channels": fitting, "complete": is_complete}})


def read_question(document: Mapping[str, object]) -> SurveyQuestion:
    """Read the object of `survey`.

    Raises:
        ClaimError: It makes no sense.
    """
    pattern = document.get("pattern")
    if pattern is not None and not (isinstance(pattern, str) and len(pattern) <= MAX_PATTERN_CHARACTERS):
        raise ClaimError(f"the pattern of a survey is a text of at most {MAX_PATTERN_CHARACTERS} characters")
    return SurveyQuestion(*_origin(document), pattern)


def read_reply(document: Mapping[str, object]) -> SurveyReply:
    """Read the object of `survey_reply`.

    Raises:
        ClaimError: It makes no sense.
    """
    number, node = _origin(document)
    numbers = document.get("numbers")
    if isinstance(numbers, dict):
        return SurveyReply(number, node, _numbers(numbers))
    channels = document.get("channels")
    if not isinstance(channels, dict) or not all(_is_count(each) for each in channels.values()):
        raise ClaimError("the reply to a survey has channels with the number of their subscriptions, or numbers")
    return SurveyReply(number, node, None, channels, document.get("complete") is True)


def _numbers(document: Mapping[str, object]) -> NodeNumbers:
    name, version = document.get("name", ""), document.get("version", "")
    counts = [count for each in _NUMBERS if isinstance(count := document.get(each, 0), int)]
    if not isinstance(name, str) or not isinstance(version, str) or len(counts) < len(_NUMBERS) or min(counts) < 0:
        raise ClaimError("a process has a name, a version, and numbers from 0 on")
    return NodeNumbers(name, version, *counts)


def _origin(document: Mapping[str, object]) -> tuple[int, str]:
    number, node = document.get("id"), document.get("node")
    if not isinstance(number, int) or isinstance(number, bool):
        raise ClaimError("the id of a survey is a number")
    # It becomes part of a channel's name.
    if not isinstance(node, str) or _NODE.fullmatch(node) is None:
        raise ClaimError("the node of a survey is the name of a process")
    return number, node


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _dump(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
