"""The commands of Centrifugo's client protocol, as documents.

A document is what JSON and Protobuf have in common: a dict with the names of `client.proto`, in which the value of each
field of type `bytes` is bytes.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from wsrelay.core.access.credentials import read_token_or_ticket
from wsrelay.core.history.offsets import position_of_offset
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.commands import (
    Command,
    Connect,
    Pong,
    Publish,
    ReadHistory,
    ReadPresence,
    Refresh,
    RefreshSubscription,
    Subscribe,
    Unsubscribe,
    Unsupported,
)
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ChannelError, ProtocolViolation

__all__ = [
    "MAX_CHANNELS_IN_CONNECT",
    "MAX_CLIENT_PAGE",
    "MAX_COMMANDS_PER_MESSAGE",
    "Document",
    "read_command",
    "read_connect_request",
]

Document: TypeAlias = dict[str, Any]

MAX_CLIENT_PAGE = 300
"""The most publications in one page for a client. Centrifugo's, too (`client.history_max_publication_limit`)."""

MAX_COMMANDS_PER_MESSAGE = 256
"""Commands in one message: a connect and every subscribe of a client that reconnects, and as many again."""

MAX_CHANNELS_IN_CONNECT = 128
"""The most positions in a connect: one for each channel that a client may be subscribed to."""

_MAX_ID = 2**32 - 1
"""Command ids are unsigned and have 32 bits (`client.proto`)."""

_MUST_RECOVER = 2
"""In the flag of a subscribe: the client loads its state if it cannot recover, and wants error 112 then."""

_UNSUPPORTED = frozenset(("ping", "rpc"))
"""Methods of the protocol that are answered with error 108, "not available"."""


class _BadRequestError(Exception):
    """A field of a command has no value that it can have."""


def read_command(document: object) -> Command:
    """Return the command of a document.

    Raises:
        ProtocolViolation: It is no command.
        RejectedError: It has a credential that is malformed.
    """
    if not isinstance(document, dict):
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    if not document:
        return Pong()
    command_id = document.pop("id", 0)
    if type(command_id) is not int or not 0 <= command_id <= _MAX_ID or len(document) != 1:
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    ((method, request),) = document.items()
    if method == "send" and isinstance(request, dict):
        # It needs no id and has no reply: without a close its client would not learn that nothing takes it.
        return Unsupported(0, ClientError.NOT_SUPPORTED)
    if not command_id:
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    if method in _UNSUPPORTED:
        return Unsupported(command_id, ClientError.NOT_SUPPORTED)
    read = _READERS.get(method)
    if read is None or not isinstance(request, dict):
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    try:
        return read(command_id, request)
    except _BadRequestError:
        if method == "connect":
            raise ProtocolViolation(Disconnect.BAD_REQUEST) from None
        return Unsupported(command_id, ClientError.BAD_REQUEST)


def read_connect_request(document: object) -> Connect:
    """Return the connect of a client that only receives. It has no id, and asks for its channels itself.

    Raises:
        ProtocolViolation: It is none.
        RejectedError: It has a credential that is malformed.
    """
    if not isinstance(document, dict):
        raise ProtocolViolation(Disconnect.BAD_REQUEST)
    try:
        connect = _connect(0, document)
    except _BadRequestError:
        raise ProtocolViolation(Disconnect.BAD_REQUEST) from None
    # As of other channels that it cannot have, nothing is said of a name that none can have.
    channels = tuple(name for name in document.get("subs") or () if _is_channel(name))
    return dataclasses.replace(connect, channels=channels)


def _connect(command_id: int, request: Document) -> Connect:
    token, subscriptions = _text(request, "token"), request.get("subs") or {}
    if not isinstance(subscriptions, dict) or len(subscriptions) > MAX_CHANNELS_IN_CONNECT:
        raise _BadRequestError
    positions = {}
    for channel, options in subscriptions.items():
        if not isinstance(options, dict):
            raise _BadRequestError
        if options.get("recover") is True:
            positions[channel] = _position(options)
    return Connect(command_id, read_token_or_ticket(token) if token else None, positions)


def _subscribe(command_id: int, request: Document) -> Command:
    channel = _channel(request)
    if request.get("tf") is not None:
        raise _BadRequestError
    if request.get("type"):
        return Unsupported(command_id, ClientError.NOT_SUPPORTED)
    since = _position(request) if request.get("recover") is True else None
    must_recover = since is not None and bool(_whole_number(request, "flag") & _MUST_RECOVER)
    return Subscribe(command_id, channel, since, must_recover=must_recover, token=_text(request, "token"))


def _unsubscribe(command_id: int, request: Document) -> Command:
    # Also a name that no channel can have: it is not subscribed, and an SDK that gets an error here reconnects.
    channel = request.get("channel")
    if not isinstance(channel, str):
        raise _BadRequestError
    return Unsubscribe(command_id, channel)


def _publish(command_id: int, request: Document) -> Command:
    data = request.get("data")
    if not isinstance(data, bytes):
        raise _BadRequestError
    return Publish(command_id, _channel(request), data)


def _history(command_id: int, request: Document) -> Command:
    limit, since = request.get("limit", 0), request.get("since")
    if type(limit) is not int or not (since is None or isinstance(since, dict)):
        raise _BadRequestError
    size = min(limit, MAX_CLIENT_PAGE) if limit >= 0 else MAX_CLIENT_PAGE
    reverse = request.get("reverse") is True
    channel = _channel(request)
    if since is None:
        return ReadHistory(command_id, channel, size, reverse=reverse)
    return ReadHistory(command_id, channel, size, _whole_number(since, "offset"), _text(since, "epoch"), reverse)


def _presence(command_id: int, request: Document) -> Command:
    return ReadPresence(command_id, _channel(request))


def _presence_stats(command_id: int, request: Document) -> Command:
    return ReadPresence(command_id, _channel(request), only_counts=True)


def _refresh(command_id: int, request: Document) -> Command:
    return Refresh(command_id, _token(request))


def _refresh_subscription(command_id: int, request: Document) -> Command:
    return RefreshSubscription(command_id, _channel(request), _token(request))


def _token(request: Document) -> str:
    token = _text(request, "token")
    if not token:
        raise _BadRequestError
    return token


def _channel(request: Mapping[str, Any]) -> str:
    name = request.get("channel")
    if isinstance(name, str) and _is_channel(name):
        # Kept once, however many clients are subscribed.
        return sys.intern(name)
    raise _BadRequestError


def _is_channel(name: str) -> bool:
    try:
        check_channel(name)
    except ChannelError:
        return False
    return True


def _position(request: Mapping[str, Any]) -> str:
    return position_of_offset(_whole_number(request, "offset"), _text(request, "epoch"))


def _whole_number(request: Mapping[str, Any], name: str) -> int:
    value = request.get(name)
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise _BadRequestError
    return value


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _BadRequestError
    return value


_READERS: dict[str, Callable[[int, Document], Command]] = {
    "connect": _connect,
    "history": _history,
    "presence": _presence,
    "presence_stats": _presence_stats,
    "publish": _publish,
    "refresh": _refresh,
    "sub_refresh": _refresh_subscription,
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
}
