"""One connection to Redis for one command, made as the relay makes its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import SystemRandom
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import deferLater, react

from wsrelay.brokers.redis.problems import reply_problem
from wsrelay.commands.errors import CommandError
from wsrelay.config import Settings
from wsrelay.core.outcomes.errors import BrokerUnavailable

__all__ = ["Sender", "run_on_redis", "use_redis"]

Sender = Callable[..., Deferred[Any]]
"""Sends a command to Redis; see `wsrelay.brokers.redis.command_sender.CommandSender.send`."""

TIMEOUT_SECONDS = 15.0
"""How long all of it may take: to connect, at most ten, and a few commands."""

_POLL_SECONDS = 0.02

_Result = TypeVar("_Result")


def run_on_redis(settings: Settings, work: Callable[[Sender], Coroutine[Any, Any, _Result]]) -> _Result:
    """Run the reactor until some work on Redis is done. Once in the life of a process.

    Args:
        settings: How Redis is reached.
        work: Gets what sends commands.

    Raises:
        CommandError: Redis cannot be used, or does not permit it.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def start(reactor: Any) -> Deferred[None]:
        done = Deferred.fromCoroutine(use_redis(reactor, settings, work))
        return done.addCallbacks(results.append, lambda failure: errors.append(failure.value))

    try:
        react(start)
    except SystemExit:
        # It always ends so.
        pass
    if errors:
        raise errors[0]
    if not results:
        raise CommandError("Interrupted.")
    return results[0]


async def use_redis(
    reactor: Any, settings: Settings, work: Callable[[Sender], Coroutine[Any, Any, _Result]]
) -> _Result:
    """Connect, do some work, and disconnect, within `TIMEOUT_SECONDS`.

    Args:
        reactor: The reactor.
        settings: How Redis is reached.
        work: Gets what sends commands.

    Raises:
        CommandError: Redis cannot be used, or does not permit it.
        ConfigError: A file cannot be used.
    """
    # txredisapi imports the reactor.
    from wsrelay.brokers.redis.address import RedisAddress
    from wsrelay.brokers.redis.commands import Commands
    from wsrelay.brokers.redis.endpoint import redis_endpoint, redis_tls

    assert settings.redis_url is not None, "checked"  # noqa: S101 -- load_settings rejects settings without one
    tls = redis_tls(settings)
    address = RedisAddress(settings.redis_url, lambda url: redis_endpoint(reactor, url, tls))
    commands = Commands(address, on_up=_nothing, on_down=_nothing, clock=reactor, rng=SystemRandom())
    link, begun = commands.link, commands.link.problem
    link.start()
    until = reactor.seconds() + TIMEOUT_SECONDS
    try:
        while not link.is_up:
            if link.problem != begun or reactor.seconds() > until:
                raise CommandError(
                    f"Redis at {address} cannot be used: {link.problem.summary}.\nIs it running, and are "
                    "REDIS_URL and the redis_ settings here those of the relay?"
                )
            await deferLater(reactor, _POLL_SECONDS)
        left = max(1.0, until - reactor.seconds())
        return await Deferred.fromCoroutine(work(commands.send)).addTimeout(left, reactor)
    except BrokerUnavailable as error:
        # Without what Redis says: its text may repeat what it was sent.
        problem = reply_problem(str(error), with_detail=False).summary if error.code.isupper() else str(error)
        raise CommandError(f"Redis at {address} did not do it: {problem}.\n{_remedy(error)}") from None
    except DeferredTimeout:
        raise CommandError(f"Redis at {address} does not answer. Try again.") from None
    finally:
        link.stop()


def _remedy(error: BrokerUnavailable) -> str:
    if error.code == "NOPERM":
        return (
            "Is the name right? If it is, permit what the section about the ACL of Redis in docs/security.md says, or "
            "use another user."
        )
    if error.code == "READONLY":
        return "Set REDIS_URL to the primary."
    return "Try again."


def _nothing() -> None:
    """Take no notice: the link says by itself what it is."""
