"""What the tests of the hub share: a language, listeners, and turns of a reactor that the test takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from wsrelay.core.access.credentials import Credential
from wsrelay.core.flow.slow_policy import SlowPolicy
from wsrelay.core.messaging.commands import Publish, Subscribe
from wsrelay.core.messaging.publications import Publication
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.engine.encodings import Encoding
from wsrelay.interfaces import IDialect
from wsrelay.testing.connections import RecordingConnection

__all__ = ["LOOK", "LineDialect", "Listener", "Turns"]

LOOK = 64
"""How many sends the hub makes between two looks at the clock."""


@implementer(IDialect)
class LineDialect:
    """A wire language of one line for each message, that counts what it is asked to encode.

    Attributes:
        encoding: What all its listeners share.
        batches: How often it was asked to encode.
        broken: Whether it raises instead.
    """

    def __init__(self, name: str = "line") -> None:
        self.name = name
        self.path = f"/{name}/"
        self.subprotocols = ()
        self.encoding = Encoding(self)
        self.batches = 0
        self.broken = False

    def open(self, handshake: Handshake) -> Sequence[Subscribe]:
        """Ask for nothing."""
        return []

    def decode(self, payload: bytes) -> Sequence[Publish]:
        """Say nothing."""
        return []

    def credential(self, payload: bytes) -> Credential:
        """Take nothing for a credential."""
        raise RejectedError(ClientError.MALFORMED)

    def welcome(self, channels: Sequence[str]) -> bytes:
        """Say nothing."""
        return b""

    def encode(self, publications: Sequence[Publication], message_frame: Callable[[bytes], bytes]) -> bytes:
        """One line for each."""
        self.batches += 1
        if self.broken:
            raise RuntimeError("the dialect is broken")
        return b"".join(publication.data + b"\n" for publication in publications)


class Listener(RecordingConnection):
    """A subscriber that does something while it is sent to.

    Attributes:
        told: What came beside the bytes of each send: policy, channel and newest message.
    """

    def __init__(self, dialect: LineDialect, on_send: Callable[[bytes], None] | None = None) -> None:
        super().__init__()
        self.dialect = dialect
        self.encoding = dialect.encoding
        self.told: list[tuple[SlowPolicy, str, bytes]] = []
        self._on_send = on_send

    def send(self, data: bytes, policy: SlowPolicy = SlowPolicy.CLOSE, channel: str = "", latest: bytes = b"") -> None:
        """Take it, then act."""
        super().send(data)
        self.told.append((policy, channel, latest))
        if self._on_send is not None:
            self._on_send(data)


class Turns:
    """The turns of a reactor that spends time only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[Callable[[], None]] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        """Come back in the next turn."""
        assert delay == 0
        self.due.append(call)

    def seconds(self) -> float:
        """The time."""
        return self.now

    def spend(self, seconds: float) -> Callable[[bytes], None]:
        """What a send does that takes this long."""

        def sending(_data: bytes) -> None:
            self.now += seconds

        return sending

    def turn(self) -> None:
        """Run what is due, and not what becomes due by that."""
        due, self.due = self.due, []
        for call in due:
            call()

    def drain(self) -> None:
        """Run until nothing is due."""
        while self.due:
            self.turn()
