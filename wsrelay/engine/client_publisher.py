"""Publishing for one client: in order, and with the leave of the application where it is asked."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.core.sessions.effects import PublishMessage
from wsrelay.engine.client_services import Connection, SessionDriver
from wsrelay.engine.publish_queue import PublishQueue

__all__ = ["ClientPublisher"]


class ClientPublisher:
    """Publishes the messages of one client.

    Args:
        client: The client.
        connection: Its connection, which is paused while too much of it waits.
        shows_publisher: Whether subscribers are told who has published.
    """

    __slots__ = ("_client", "_queue", "_shows_publisher")

    def __init__(self, client: SessionDriver, connection: Connection, *, shows_publisher: bool) -> None:
        self._client = client
        self._shows_publisher = shows_publisher
        self._queue = PublishQueue(connection, client.services.inflow, self._ask, self._publish, self._rejected)

    def publish(self, message: PublishMessage) -> None:
        """Publish a message, now or when the application permits it, and report the outcome to the session."""
        queue = self._queue
        if queue.is_stopped:
            # The rest of the message that the connection was closed for.
            return
        answer = None
        if queue.is_clear:
            answer = self._ask(message)
            if answer is None:
                queue.publish(message)
                return
        # Also what nobody has to be asked about, lest it overtake what waits.
        queue.add(message, answer)

    def stop(self) -> None:
        """Publish nothing of what waits, and nothing behind it."""
        self._queue.stop()

    def _ask(self, message: PublishMessage) -> Deferred[None] | None:
        client = self._client
        try:
            return client.services.authenticator.authorize_publish(
                client.session.identity, message.channel, message.data
            )
        except Exception:  # noqa: BLE001 -- one that raises has answered
            return fail()

    def _publish(self, message: PublishMessage) -> None:
        client = self._client
        info = b""
        if self._shows_publisher:
            rule = client.services.namespaces.rule(message.channel)
            if rule is not None and rule.has_history:
                # A plain channel carries the message alone, and this costs as much as half of the rest.
                info = client.as_member(message.channel).text.encode()
        client.services.post(message.channel, message.data, partial(self._published, message), info)

    def _published(self, message: PublishMessage, error: Exception | None) -> None:
        client = self._client
        try:
            self._queue.published(message)
            if error is None:
                if message.id:
                    client.perform(client.session.published(message.id))
            elif isinstance(error, (BrokerUnavailable, CancelledError)):
                client.perform(client.session.publish_failed(message.id, disconnect=Disconnect.TRY_AGAIN))
            else:
                client.failed(Failure(error))
        except Exception:  # noqa: BLE001 -- what fails for one client must not end the connection to the broker
            client.failed(Failure())

    def _rejected(self, message: PublishMessage, failure: Failure) -> None:
        client, error = self._client, failure.value
        if isinstance(error, RejectedError):
            if not message.id:
                # Where there is a reply, it is recorded when that is sent.
                client.services.rejections.record(
                    error.client_error, channel=message.channel, connection=client.connection_id
                )
            client.perform(client.session.publish_failed(message.id, error.client_error))
        elif isinstance(error, CancelledError):
            # The process stops, and with it the questions to the application.
            client.perform(client.session.publish_failed(message.id, ClientError.NOT_CHECKED))
        else:
            client.failed(failure)
