"""Publishes messages: to the stream of a channel with history, to Pub/Sub for a plain one.

Clients and the application publish here, so that one place decides which of the two it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import BrokerFull, BrokerUnavailable, IdempotencyUnavailable, RejectedError
from wsrelay.interfaces import IBroker

__all__ = ["Publisher"]

_FULL = "OOM"
"""The code of the error of a Redis server that has reached `maxmemory` and may evict nothing."""


class Publisher:
    """Publishes to every process that shares a broker.

    Args:
        broker: Carries the messages, and keeps the streams.
        namespaces: Which channels exist, and which of them have history.
    """

    def __init__(self, broker: IBroker, namespaces: Namespaces) -> None:
        self._broker = broker
        self._namespaces = namespaces

    def publish(
        self,
        channel: str,
        data: bytes,
        idempotency_key: str = "",
        *,
        skip_history: bool = False,
        info: bytes = b"",
        tags: bytes = b"",
    ) -> Deferred[PublishResult]:
        """Publish a message. Messages published to one channel keep their order.

        Args:
            channel: The channel's name, inside the grammar.
            data: The message, which is delivered byte for byte.
            idempotency_key: A text. Of calls with the same one for a channel, within five minutes, only the first
                publishes, and the others get its result. If empty, every call publishes.
            skip_history: Whether a message on a channel with history is delivered and not kept.
            info: The client that publishes; see `IHistory.append`. A plain channel carries the message alone.
            tags: The message's tags; see `IHistory.append`.

        Returns:
            Fires with the `PublishResult` when the broker has taken the message, within the broker's bounded time.

        Raises:
            RejectedError: (Failure of the Deferred.) No namespace has this channel.
            IdempotencyUnavailable: (Failure of the Deferred.) The promise of the key cannot be kept: the message would
                go to no stream, or the server lacks the means. Nothing was published.
            BrokerFull: (Failure of the Deferred.) Redis takes no more data. Nothing was published.
            BrokerUnavailable: (Failure of the Deferred.) The message was not taken, or that cannot be known.
        """
        namespace = self._namespaces.rule(channel)
        if namespace is None:
            return fail(RejectedError(ClientError.UNKNOWN_CHANNEL))
        if not namespace.has_history or skip_history:
            if idempotency_key:
                return fail(
                    IdempotencyUnavailable(
                        "an idempotency key needs a channel with history, and a message that is kept there: a plain "
                        "channel keeps nothing that a repetition could be recognized by"
                    )
                )
            published: Deferred[PublishResult] = self._broker.publish(channel, data)
        elif self._broker.history is None:
            return fail(BrokerUnavailable(f"the {self._broker.name} broker keeps no history"))
        else:
            published = self._broker.history.append(channel, data, namespace.retention, idempotency_key, info, tags)
        return published.addErrback(_name_full)

    def post(self, channel: str, data: bytes, done: Callable[[Exception | None], None], info: bytes = b"") -> None:
        """Publish a message as `publish` does, for whom the result says nothing but that it was taken.

        Args:
            channel: See `publish`.
            data: See `publish`.
            done: Called once, within the broker's bounded time and possibly before this returns: with None when the
                broker has taken the message, else with the error that `publish` would fail with. It raises nothing.
            info: See `publish`.
        """
        namespace = self._namespaces.rule(channel)
        if namespace is not None and not namespace.has_history:
            self._broker.post(channel, data, done)
        else:
            published = self.publish(channel, data, info=info)
            published.addCallbacks(lambda _result: done(None), lambda failure: done(failure.value))


def _name_full(failure: Failure) -> Any:
    error = failure.value
    if isinstance(error, BrokerUnavailable) and error.code == _FULL:
        raise BrokerFull(str(error)) from None
    return failure
