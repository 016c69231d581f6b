"""Centrifugo's client protocol over two streams: what the relay sends on one that lasts, what clients send by requests.

::

    GET  /connection/sse?cf_connect={"id":1,"connect":{}}       (percent-encoded; the answer is an event stream)
    POST /connection/http_stream     {"id": 1, "connect": {}}   (the answer has one object a line)
    POST /emulation                  {"session": "...", "node": "...", "data": "<messages, as a string>"}

The first message comes with the request for the stream. The reply to its connect has the `session`, a secret, and the
`node` that every later message names. A body of type ``application/octet-stream`` is Protobuf, and so is the stream. As
a stream has no close frame, it ends with a push.

Source: `client.proto` of github.com/centrifugal/protocol, and the JavaScript SDK, whose fallbacks these are.
"""

from __future__ import annotations

from wsrelay.core.messaging.emulated import EmulatedMessage
from wsrelay.core.messaging.messages import Farewell, Message
from wsrelay.core.outcomes.disconnects import AnyDisconnect
from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.json_text import parse_json
from wsrelay.core.wire.protobuf import decode
from wsrelay.dialects.centrifugo.carried import carried_connect
from wsrelay.dialects.centrifugo.codes import disconnect_push, farewell
from wsrelay.dialects.centrifugo.json import JSONDialect, write_document
from wsrelay.dialects.centrifugo.protobuf import ProtobufDialect
from wsrelay.dialects.centrifugo.protobuf_documents import write_replies
from wsrelay.dialects.centrifugo.schema import EMULATION_REQUEST

__all__ = ["EMULATION_PATH", "EmulatedJSONDialect", "EmulatedProtobufDialect", "read_emulation_request"]

EMULATION_PATH = "/emulation"
"""Where clients send: Centrifugo's default."""


class EmulatedJSONDialect(JSONDialect):
    """The JSON form."""

    name = "centrifugo-json-emulated"

    def first_message(self, handshake: Handshake) -> Message:
        """Return what a request carries. Nothing at all is a message as well, and a bad one."""
        return Message(carried_connect(handshake) or b"")

    def close(self, disconnect: AnyDisconnect) -> Farewell:
        """Tell the end by a push."""
        push = Message(write_document({"push": disconnect_push(disconnect)}))
        return farewell(disconnect)._replace(messages=(push,))


class EmulatedProtobufDialect(ProtobufDialect):
    """The Protobuf form."""

    name = "centrifugo-protobuf-emulated"

    def first_message(self, handshake: Handshake) -> Message:
        """Return what a request carries. Nothing at all is a message as well, and a bad one."""
        return Message(handshake.body, is_binary=True)

    def close(self, disconnect: AnyDisconnect) -> Farewell:
        """Tell the end by a push."""
        push = Message(write_replies([{"push": disconnect_push(disconnect)}]), is_binary=True)
        return farewell(disconnect)._replace(messages=(push,))


def read_emulation_request(body: bytes, *, is_protobuf: bool) -> tuple[str, EmulatedMessage]:
    """Read the request by which a client sends.

    Args:
        body: The body.
        is_protobuf: Whether it is Protobuf. If False, it is JSON.

    Returns:
        The name of the process that has the session, and the message.

    Raises:
        ClaimError: It is malformed.
    """
    try:
        document = decode(EMULATION_REQUEST, body) if is_protobuf else parse_json(body)
        if isinstance(document, dict):
            session, node, data = (document.get(name) for name in ("session", "node", "data"))
            data = data.encode() if isinstance(data, str) and not is_protobuf else data
            if isinstance(session, str) and isinstance(node, str) and isinstance(data, bytes):
                return node, EmulatedMessage(session, Message(data, is_protobuf))
    except ValueError:
        pass
    raise ClaimError("a message comes as session, node and data")
