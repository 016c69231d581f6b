"""Shared by the tests of the hub: subscribers, and turns of a reactor that the test takes."""

from __future__ import annotations

from collections.abc import Callable

from wsrelay.engine.topic import SMALL_AUDIENCE
from wsrelay.testing.dialects import LineDialect
from wsrelay.testing.subscribers import RecordingSubscriber, SendArguments

__all__ = ["LOOK", "LineDialect", "LineSubscriber", "SendArguments", "Turns"]

LOOK = SMALL_AUDIENCE
"""How many sends the hub makes between two looks at the clock."""


class LineSubscriber(RecordingSubscriber):
    """A subscriber that does something while it is sent to.

    Args:
        on_send: Called with the data of each send. If None, nothing is done.
    """

    def __init__(self, on_send: Callable[[bytes], None] | None = None) -> None:
        super().__init__()
        self._on_send = on_send

    def send(self, data: bytes, *arguments: object) -> None:
        """Record the call, then act."""
        super().send(data, *arguments)  # type: ignore[arg-type]  # passed on as they are
        if self._on_send is not None:
            self._on_send(data)


class Turns:
    """The turns of a reactor that spends time only where a test says so.

    Attributes:
        now: The time, in seconds.
        due: The calls of the next turn.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[Callable[[], None]] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        """Schedule a call for the next turn."""
        assert delay == 0
        self.due.append(call)

    def seconds(self) -> float:
        """Return the time."""
        return self.now

    def spend(self, seconds: float) -> Callable[[bytes], None]:
        """Return the action of a send that takes this long."""

        def sending(_data: bytes) -> None:
            self.now += seconds

        return sending

    def turn(self) -> None:
        """Run the calls that are due, and not those that become due by them."""
        due, self.due = self.due, []
        for call in due:
            call()

    def drain(self) -> None:
        """Run until nothing is due."""
        while self.due:
            self.turn()
