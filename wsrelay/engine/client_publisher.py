"""Publishing for one client: in order, and with the leave of the application where it is asked."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import BrokerUnavailable, RejectedError
from wsrelay.core.sessions.effects import Close, PublishMessage
from wsrelay.engine.client_services import SessionDriver
from wsrelay.engine.publish_queue import PublishQueue

__all__ = ["ClientPublisher"]


class ClientPublisher:
    """Publishes the messages of one client.

    Args:
        client: The client.
        shows_publisher: Whether subscribers are told who has published.
    """

    __slots__ = ("_client", "_queue", "_shows_publisher")

    def __init__(self, client: SessionDriver, *, shows_publisher: bool) -> None:
        self._client = client
        self._shows_publisher = shows_publisher
        # If None, the application was never asked about a message.
        self._queue: PublishQueue | None = None

    def publish(self, message: PublishMessage) -> None:
        """Publish a message, now or when the application permits it, and report the outcome to the session."""
        client, queue = self._client, self._queue
        if queue is not None and queue.is_stopped:
            # The rest of the message that the connection was closed for.
            return
        if queue is not None and queue.is_full:
            client.perform([Close(Disconnect.TOO_FAST)])
            return
        ask = client.services.authenticator.authorize_publish
        answer: Deferred[None] | None
        try:
            answer = ask(client.session.identity, message.channel, message.data)
        except Exception:  # noqa: BLE001 -- one that raises has answered
            answer = fail()
        if answer is None and queue is None:
            self._publish(message)
            return
        if queue is None:
            queue = self._queue = PublishQueue(self._publish, self._rejected)
        # Also what nobody has to be asked about, lest it overtake what waits.
        queue.add(message, succeed(None) if answer is None else answer)

    def stop(self) -> None:
        """Publish nothing of what waits, and nothing behind it."""
        if self._queue is not None:
            self._queue.stop()

    def _publish(self, message: PublishMessage) -> None:
        client = self._client
        info = client.as_member(message.channel).text.encode() if self._shows_publisher else b""
        outcome = client.services.publish(message.channel, message.data, info)
        if message.id:
            outcome.addCallback(lambda _result: client.perform(client.session.published(message.id)))
        outcome.addErrback(self._failed, message)
        outcome.addErrback(client.failed)

    def _failed(self, failure: Failure, message: PublishMessage) -> None:
        failure.trap(BrokerUnavailable, CancelledError)
        session = self._client.session
        self._client.perform(session.publish_failed(message.id, disconnect=Disconnect.TRY_AGAIN))

    def _rejected(self, message: PublishMessage, failure: Failure) -> None:
        client, error = self._client, failure.value
        if isinstance(error, RejectedError):
            if not message.id:
                # Where there is a reply, it is recorded when that is sent.
                client.services.rejections.record(error.client_error, channel=message.channel)
            client.perform(client.session.publish_failed(message.id, error.client_error))
        elif isinstance(error, CancelledError):
            # The process stops, and with it the questions to the application.
            client.perform(client.session.publish_failed(message.id, ClientError.NOT_CHECKED))
        else:
            client.failed(failure)
