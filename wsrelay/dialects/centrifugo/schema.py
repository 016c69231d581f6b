"""The messages of Centrifugo's client protocol, version 2, in Protobuf: the numbers and types of their fields.

Source: `client.proto` of github.com/centrifugal/protocol, v0.23.1. What belongs to features that the relay does not
have is left out, and so is skipped in what clients send: subscriptions of other types than streams, deltas, short
channel names, dictionaries for compression. The fields by which a subscribe asks for such a feature are here, so that
it can be answered.
"""

from __future__ import annotations

from wsrelay.core.wire.protobuf import Field, Kind, Schema, map_field

__all__ = ["CLIENT_INFO", "COMMAND", "EMULATION_REQUEST", "PUBLICATION", "PUSH", "REPLY"]

_BOOL, _BYTES, _STRING, _MESSAGE = Kind.BOOL, Kind.BYTES, Kind.STRING, Kind.MESSAGE
_INT32, _INT64, _UINT32, _UINT64 = Kind.INT32, Kind.INT64, Kind.UINT32, Kind.UINT64


# What commands, replies and pushes are made of

_ERROR = Schema(
    "Error",
    Field(1, "code", _UINT32),
    Field(2, "message", _STRING),
    Field(3, "temporary", _BOOL),
)

CLIENT_INFO = Schema(
    "ClientInfo",
    Field(1, "user", _STRING),
    Field(2, "client", _STRING),
    Field(3, "conn_info", _BYTES),
    Field(4, "chan_info", _BYTES),
)

PUBLICATION = Schema(
    "Publication",
    Field(4, "data", _BYTES),
    Field(5, "info", _MESSAGE, CLIENT_INFO),
    Field(6, "offset", _UINT64),
    map_field(7, "tags", _STRING),
)

_POSITION = Schema(
    "StreamPosition",
    Field(1, "offset", _UINT64),
    Field(2, "epoch", _STRING),
)

_FILTER = Schema(
    "FilterNode",
    Field(1, "op", _STRING),
    Field(2, "key", _STRING),
    Field(3, "cmp", _STRING),
    Field(4, "val", _STRING),
    Field(5, "vals", _STRING, is_repeated=True),
    # Its nodes (6) are filters again. A filter is refused, so that they need not be read.
)

# Commands

_SUBSCRIBE_REQUEST = Schema(
    "SubscribeRequest",
    Field(1, "channel", _STRING),
    Field(2, "token", _STRING),
    Field(3, "recover", _BOOL),
    Field(6, "epoch", _STRING),
    Field(7, "offset", _UINT64),
    Field(8, "data", _BYTES),
    Field(9, "positioned", _BOOL),
    Field(10, "recoverable", _BOOL),
    Field(11, "join_leave", _BOOL),
    Field(12, "delta", _STRING),
    Field(13, "tf", _MESSAGE, _FILTER),
    Field(14, "flag", _INT64),
    Field(15, "type", _INT32),
)

_CONNECT_REQUEST = Schema(
    "ConnectRequest",
    Field(1, "token", _STRING),
    Field(2, "data", _BYTES),
    map_field(3, "subs", _MESSAGE, _SUBSCRIBE_REQUEST),
    Field(4, "name", _STRING),
    Field(5, "version", _STRING),
    map_field(6, "headers", _STRING),
)

_PUBLISH_REQUEST = Schema(
    "PublishRequest",
    Field(1, "channel", _STRING),
    Field(2, "data", _BYTES),
    Field(3, "type", _INT32),
)

_HISTORY_REQUEST = Schema(
    "HistoryRequest",
    Field(1, "channel", _STRING),
    Field(7, "limit", _INT32),
    Field(8, "since", _MESSAGE, _POSITION),
    Field(9, "reverse", _BOOL),
)

_RPC_REQUEST = Schema(
    "RPCRequest",
    Field(1, "data", _BYTES),
    Field(2, "method", _STRING),
)

_SUB_REFRESH_REQUEST = Schema(
    "SubRefreshRequest",
    Field(1, "channel", _STRING),
    Field(2, "token", _STRING),
    Field(3, "type", _INT32),
)

COMMAND = Schema(
    "Command",
    Field(1, "id", _UINT32),
    Field(4, "connect", _MESSAGE, _CONNECT_REQUEST),
    Field(5, "subscribe", _MESSAGE, _SUBSCRIBE_REQUEST),
    Field(6, "unsubscribe", _MESSAGE, Schema("UnsubscribeRequest", Field(1, "channel", _STRING))),
    Field(7, "publish", _MESSAGE, _PUBLISH_REQUEST),
    Field(8, "presence", _MESSAGE, Schema("PresenceRequest", Field(1, "channel", _STRING))),
    Field(9, "presence_stats", _MESSAGE, Schema("PresenceStatsRequest", Field(1, "channel", _STRING))),
    Field(10, "history", _MESSAGE, _HISTORY_REQUEST),
    Field(11, "ping", _MESSAGE),
    Field(12, "send", _MESSAGE, Schema("SendRequest", Field(1, "data", _BYTES))),
    Field(13, "rpc", _MESSAGE, _RPC_REQUEST),
    Field(14, "refresh", _MESSAGE, Schema("RefreshRequest", Field(1, "token", _STRING))),
    Field(15, "sub_refresh", _MESSAGE, _SUB_REFRESH_REQUEST),
)

EMULATION_REQUEST = Schema(
    "EmulationRequest",
    Field(1, "node", _STRING),
    Field(2, "session", _STRING),
    Field(3, "data", _BYTES),
)

# Replies

_SUBSCRIBE_RESULT = Schema(
    "SubscribeResult",
    Field(1, "expires", _BOOL),
    Field(2, "ttl", _UINT32),
    Field(3, "recoverable", _BOOL),
    Field(6, "epoch", _STRING),
    Field(7, "publications", _MESSAGE, PUBLICATION, is_repeated=True),
    Field(8, "recovered", _BOOL),
    Field(9, "offset", _UINT64),
    Field(10, "positioned", _BOOL),
    Field(11, "data", _BYTES),
    Field(12, "was_recovering", _BOOL),
)

_CONNECT_RESULT = Schema(
    "ConnectResult",
    Field(1, "client", _STRING),
    Field(2, "version", _STRING),
    Field(3, "expires", _BOOL),
    Field(4, "ttl", _UINT32),
    Field(5, "data", _BYTES),
    map_field(6, "subs", _MESSAGE, _SUBSCRIBE_RESULT),
    Field(7, "ping", _UINT32),
    Field(8, "pong", _BOOL),
    Field(9, "session", _STRING),
    Field(10, "node", _STRING),
)

_PRESENCE_STATS_RESULT = Schema(
    "PresenceStatsResult",
    Field(1, "num_clients", _UINT32),
    Field(2, "num_users", _UINT32),
)

_HISTORY_RESULT = Schema(
    "HistoryResult",
    Field(1, "publications", _MESSAGE, PUBLICATION, is_repeated=True),
    Field(2, "epoch", _STRING),
    Field(3, "offset", _UINT64),
)

_REFRESH_RESULT = Schema(
    "RefreshResult",
    Field(1, "client", _STRING),
    Field(2, "version", _STRING),
    Field(3, "expires", _BOOL),
    Field(4, "ttl", _UINT32),
)

_SUB_REFRESH_RESULT = Schema(
    "SubRefreshResult",
    Field(1, "expires", _BOOL),
    Field(2, "ttl", _UINT32),
)

# Pushes

_UNSUBSCRIBE = Schema(
    "Unsubscribe",
    Field(2, "code", _UINT32),
    Field(3, "reason", _STRING),
)

_SUBSCRIBE = Schema(
    "Subscribe",
    Field(1, "recoverable", _BOOL),
    Field(4, "epoch", _STRING),
    Field(5, "offset", _UINT64),
    Field(6, "positioned", _BOOL),
    Field(7, "data", _BYTES),
)

_CONNECT = Schema(
    "Connect",
    Field(1, "client", _STRING),
    Field(2, "version", _STRING),
    Field(3, "data", _BYTES),
    map_field(4, "subs", _MESSAGE, _SUBSCRIBE_RESULT),
    Field(5, "expires", _BOOL),
    Field(6, "ttl", _UINT32),
    Field(7, "ping", _UINT32),
    Field(8, "pong", _BOOL),
    Field(9, "session", _STRING),
    Field(10, "node", _STRING),
)

_DISCONNECT = Schema(
    "Disconnect",
    Field(1, "code", _UINT32),
    Field(2, "reason", _STRING),
    Field(3, "reconnect", _BOOL),
)

_REFRESH = Schema(
    "Refresh",
    Field(1, "expires", _BOOL),
    Field(2, "ttl", _UINT32),
)

PUSH = Schema(
    "Push",
    Field(2, "channel", _STRING),
    Field(4, "pub", _MESSAGE, PUBLICATION),
    Field(5, "join", _MESSAGE, Schema("Join", Field(1, "info", _MESSAGE, CLIENT_INFO))),
    Field(6, "leave", _MESSAGE, Schema("Leave", Field(1, "info", _MESSAGE, CLIENT_INFO))),
    Field(7, "unsubscribe", _MESSAGE, _UNSUBSCRIBE),
    Field(8, "message", _MESSAGE, Schema("Message", Field(1, "data", _BYTES))),
    Field(9, "subscribe", _MESSAGE, _SUBSCRIBE),
    Field(10, "connect", _MESSAGE, _CONNECT),
    Field(11, "disconnect", _MESSAGE, _DISCONNECT),
    Field(12, "refresh", _MESSAGE, _REFRESH),
)

REPLY = Schema(
    "Reply",
    Field(1, "id", _UINT32),
    Field(2, "error", _MESSAGE, _ERROR),
    Field(4, "push", _MESSAGE, PUSH),
    Field(5, "connect", _MESSAGE, _CONNECT_RESULT),
    Field(6, "subscribe", _MESSAGE, _SUBSCRIBE_RESULT),
    Field(7, "unsubscribe", _MESSAGE),
    Field(8, "publish", _MESSAGE),
    Field(9, "presence", _MESSAGE, Schema("PresenceResult", map_field(1, "presence", _MESSAGE, CLIENT_INFO))),
    Field(10, "presence_stats", _MESSAGE, _PRESENCE_STATS_RESULT),
    Field(11, "history", _MESSAGE, _HISTORY_RESULT),
    Field(12, "ping", _MESSAGE),
    Field(13, "rpc", _MESSAGE, Schema("RPCResult", Field(1, "data", _BYTES))),
    Field(14, "refresh", _MESSAGE, _REFRESH_RESULT),
    Field(15, "sub_refresh", _MESSAGE, _SUB_REFRESH_RESULT),
)
