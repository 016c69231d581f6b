"""The first commands on a connection to Redis."""

from __future__ import annotations

from twisted.logger import Logger

from wsrelay import __version__
from wsrelay.brokers.redis.connection import RedisConnection, ResponseError
from wsrelay.brokers.redis.problems import RedisProblemError, reply_problem
from wsrelay.config.redis_url import RedisURL

__all__ = ["sign_in"]

_log = Logger("wsrelay")


async def sign_in(connection: RedisConnection, url: RedisURL, role: bytes) -> None:
    """Authenticate a connection and give it a name.

    Args:
        connection: A new connection.
        url: The user name and password.
        role: The end of the connection's name in CLIENT LIST.

    Raises:
        RedisProblemError: Redis rejects the user name or the password.
    """
    if url.password is not None:
        await _authenticate(connection, url.username, url.password)
    # For the operator's CLIENT LIST. Its failure (an ACL without it, an old server) does no harm.
    name = b"wsrelay-%s-%s" % (__version__.encode(), role)
    connection.command(b"CLIENT", b"SETNAME", name).addErrback(lambda _failure: None)


async def _authenticate(connection: RedisConnection, username: str | None, password: str) -> None:
    user = [] if username is None else [username.encode()]
    try:
        await connection.authenticate(*user, password.encode())
    except ResponseError as error:
        if user and "wrong number of arguments" in str(error):
            # Users came with Redis 6 (https://redis.io/docs/latest/commands/auth/). A server without them has one
            # password, which is in the URL; hosters put any name before it.
            _log.info("Redis has no users (it is older than 6.0): signing in by the password alone")
            await _authenticate(connection, None, password)
            return
        # Without its text: a server that does not know AUTH repeats the arguments, the password among them.
        raise RedisProblemError(reply_problem(str(error), with_detail=False)) from None
