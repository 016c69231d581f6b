"""A short way for the publish of a client in JSON, in the form in which nearly every one is written.

A publish is the one command that clients send all the time. The ordinary way (`wsrelay.dialects.centrifugo.commands`)
reads the line as a document, writes the data in it anew, and looks at every field; here all but the data is compared
with a pattern. What is not exactly of this form is left to the ordinary way, errors among it: what is read here is the
command that is read there (tests/dialects/centrifugo/test_usual_publish.py compares them).
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache

from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.commands import Publish
from wsrelay.core.outcomes.errors import ChannelError
from wsrelay.core.wire.json_text import dump_json, parse_json_at

__all__ = ["read_usual_publish"]

# The id stands first or, as the SDK for JavaScript has it, last. It has one digit less than the largest.
_ID = r'"id":([1-9][0-9]{0,8})'
_BEGINNING = re.compile(rf'\{{(?:{_ID},)?"publish":\{{"channel":"([^"\\\x00-\x1f]*)","data":')
_END = re.compile(rf"\}},{_ID}\}}")


def read_usual_publish(line: str) -> Publish | None:
    """Return the publish that a line is. None if it is anything else, or not written in the usual form."""
    beginning = _BEGINNING.match(line)
    if beginning is None:
        return None
    command_id, name = beginning.groups()
    channel = _channel(name)
    if channel is None:
        return None
    try:
        document, end = parse_json_at(line, beginning.end())
        data = dump_json(document)
    except ValueError:
        return None
    if command_id is None:
        ending = _END.fullmatch(line, end)
        if ending is None:
            return None
        command_id = ending[1]
    elif line[end:] != "}}":
        return None
    return Publish(int(command_id), channel, data)


@lru_cache(maxsize=1024)
def _channel(name: str) -> str | None:
    """Return a channel's name, kept once. None if it is none."""
    try:
        return sys.intern(check_channel(name))
    except ChannelError:
        return None
