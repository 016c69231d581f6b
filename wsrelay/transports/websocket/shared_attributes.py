"""WebSocket connections that share the attributes that are the same for all.

Autobahn gives every connection some sixty attributes: flags that start the same for all, futures nobody waits for,
counters nobody reads, a queue for a testing aid, a UTF-8 validator before there is a text, and the whole opening
handshake for ever. On an idle connection that is most of its memory, and more than thirty attributes cost it the
compact dictionary that instances of a class can share.

Here a sample connection is made once, and what it was given that cannot change in place becomes an attribute of the
class: a connection has one of its own as soon as it sets it. What can change in place is on a short list below, with
what stands in for it. What nearly every connection sets has a slot (`OWN`), so that an idle one has no dictionary. If
a version of Autobahn brings something that is not on the list, `shared_attributes` returns None and connections are
made the ordinary way: bigger, and just as right.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

from autobahn.websocket.protocol import WebSocketProtocol

__all__ = ["HANDSHAKE_ATTRIBUTES", "NO_TEXT", "OWN", "set_own_attributes", "shared_attributes"]

_IMMUTABLE = (type(None), bool, int, float, str, bytes)

HANDSHAKE_ATTRIBUTES = frozenset(
    (
        "http_headers",
        "http_request_data",
        "http_request_host",
        "http_request_params",
        "http_request_path",
        "http_request_uri",
        "http_response_data",
        "http_status_line",
        "websocket_extensions",
        "websocket_extensions_in_use",
        "websocket_origin",
        "websocket_protocol_in_use",
        "websocket_protocols",
        "websocket_version",
        "_wskey",
        "_handshake",
        "_opening",
        "_compression",
        "_answer",
    )
)
"""The attributes that the opening handshake leaves on a connection and nothing reads once it is open."""


NO_TEXT = (True, True, 0, 0)
"""The outcome of the validation of no text, in place of that of the last one."""


def set_own_attributes(connection: Any) -> None:
    """Set the attributes that nearly every connection sets to what they are at first.

    They have slots: eight bytes each. In a dictionary they would cost 464 bytes while nothing has come yet, and 832
    behind the first message or pong. One by one, because a loop over their names takes five times as long.
    """
    connection.factory = None
    connection.dialect = None
    connection.writer = None
    connection.connected = 0
    connection.transport = None
    connection._client = None
    connection.ping_group = None
    connection.state = 1
    connection.inside_message = False
    connection.current_frame = None
    connection.control_frame_data = None
    connection.data = b""
    connection.current_frame_masker = None
    connection._isMessageCompressed = False
    connection.utf8validator = None
    connection.utf8validateIncomingCurrentMessage = False
    connection.utf8validateLast = NO_TEXT
    connection.message_is_binary = False
    connection.message_data = None
    connection.message_data_total_length = 0
    connection.frame_length = 0
    connection.frame_data = None


def _own_attributes() -> dict[str, object]:
    sample = SimpleNamespace()
    set_own_attributes(sample)
    return vars(sample)


OWN = _own_attributes()
"""The attributes that have slots, and what they are at first."""


class _Unawaited:
    """Stands in for a future that nothing waits for."""

    def callback(self, _result: object) -> None:
        """Do nothing."""


def _stand_ins(sample: Any) -> dict[str, Any]:
    """Return replacements of the attributes that can change in place, by name."""
    return {
        # Resolved when the connection opens and closes.
        "is_open": _Unawaited(),
        "is_closed": _Unawaited(),
        # Counters, of all connections together.
        "trafficStats": sample.trafficStats,
        # For chopped writes, which `sendData` of ours does not know.
        "send_queue": deque(),
        # For `fire`, which `onMessageEnd` of ours does not call.
        "_results": sample._results,
        "_valid_events": sample._valid_events,
        # Would be filled by `connectionMade`.
        "_transport_details": None,
    }


def shared_attributes(protocol: type[Any], factory: object) -> dict[str, Any] | None:
    """Attributes for a class whose connections are not given their own by Autobahn.

    Args:
        protocol: The class, its options already on it.
        factory: A factory of the kind that connections get.

    Returns:
        The attributes, or None if a connection has something in it that cannot be shared.
    """
    sample: Any = object.__new__(protocol)
    sample.factory = factory
    # No timer for a connection that is none.
    sample.openHandshakeTimeout = 0
    own = set(vars(sample))
    WebSocketProtocol.__init__(sample)
    WebSocketProtocol._connectionMade(sample)
    shared = _stand_ins(sample)
    for name, value in vars(sample).items():
        if name in shared or name in own or name in OWN:
            continue
        if not isinstance(value, _IMMUTABLE):
            return None
        shared[name] = value
    # Read for every message: 13, the only version spoken.
    shared["websocket_version"] = 13
    return {**shared, "__slots__": tuple(OWN)}
