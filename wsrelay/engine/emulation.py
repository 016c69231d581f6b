"""The sessions of clients whose transport has one direction, and the way to those of other processes.

Such a client sends each message by a request of its own, which a load balancer takes to any process. The message names
the process that has the client, and comes to it over the control channel. The session's name is a secret, and all that
it takes to send: it is drawn at random, and no process tells whether there is one of some name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from secrets import token_urlsafe

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from wsrelay.core.messaging.emulated import EmulatedMessage
from wsrelay.core.messaging.messages import Message
from wsrelay.interfaces import IBroker

__all__ = ["Emulation", "new_session"]

SESSION_BYTES = 24
"""How random a session is: 192 bits."""

_NODE = re.compile(r"[0-9A-Za-z_-]{1,64}")


def new_session() -> str:
    """Return a session that nobody can guess."""
    return token_urlsafe(SESSION_BYTES)


class Emulation:
    """The sessions of this process.

    Args:
        broker: Carries messages to other processes.
    """

    log = Logger()

    def __init__(self, broker: IBroker) -> None:
        self._broker = broker
        self._receivers: dict[str, Callable[[Message], None]] = {}

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return len(self._receivers)

    @property
    def node_id(self) -> str:
        """The name of this process."""
        node_id: str = self._broker.node_id
        return node_id

    def open(self, receive: Callable[[Message], None]) -> str:
        """Begin a session and return its name; `close` is owed once.

        Args:
            receive: Called with each message.
        """
        session = new_session()
        self._receivers[session] = receive
        return session

    def close(self, session: str) -> None:
        """End a session. One that is unknown is ignored."""
        self._receivers.pop(session, None)

    def received(self, emulated: EmulatedMessage) -> None:
        """Take a message for this process. One for a session that it does not have is ignored."""
        receive = self._receivers.get(emulated.session)
        if receive is None:
            return
        try:
            receive(emulated.message)
        except Exception:  # noqa: BLE001 -- the message of one client must not end what brought it
            self.log.failure("a message of a client could not be taken")

    def send(self, node_id: str, emulated: EmulatedMessage) -> Deferred[bool]:
        """Bring a message to the process that has its session. Those to one process keep their order.

        Args:
            node_id: The name of the process, as the client says.
            emulated: The message.

        Returns:
            Fires with whether there is such a process, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It could not be brought there, or that cannot be known.
        """
        if node_id == self.node_id:
            self.received(emulated)
            return succeed(True)
        if _NODE.fullmatch(node_id) is None:
            return succeed(False)
        return self._broker.send_control(emulated.to_bytes(), node_id).addCallback(bool)
