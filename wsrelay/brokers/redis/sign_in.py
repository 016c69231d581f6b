"""The first commands on a connection to Redis."""

from __future__ import annotations

from wsrelay import __version__
from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.connection import RedisConnection
from wsrelay.brokers.redis.problems import RedisProblemError, reply_problem
from wsrelay.brokers.redis.request_protocol import ResponseError
from wsrelay.config.redis_url import RedisURL

__all__ = ["sign_in"]


async def sign_in(connection: RedisConnection, address: RedisAddress, role: bytes) -> RedisURL:
    """Authenticate a connection and give it a name.

    Args:
        connection: A new connection.
        address: The address that it was made with. Another URL may have been set meanwhile, which is not used.
        role: The end of the connection's name in CLIENT LIST.

    Returns:
        The URL that the connection was made with.

    Raises:
        RedisProblemError: Redis rejects the user name or the password.
    """
    url = connection.url or address.url
    if url.password is not None:
        user = [] if url.username is None else [url.username.encode()]
        await _authenticate(connection, address, user, url.password.encode())
    # For the operator's CLIENT LIST. Its failure (an ACL without it, an old server) does no harm.
    name = b"wsrelay-%s-%s" % (__version__.encode(), role)
    connection.command(b"CLIENT", b"SETNAME", name).addErrback(lambda _failure: None)
    return url


async def _authenticate(connection: RedisConnection, address: RedisAddress, user: list[bytes], password: bytes) -> None:
    try:
        await connection.authenticate(*user, password)
    except ResponseError as error:
        if user and "wrong number of arguments" in str(error):
            # Users came with Redis 6 (https://redis.io/docs/latest/commands/auth/). A server without them has one
            # password, which is in the URL; hosters put any name before it.
            address.log_fallback()
            await _authenticate(connection, address, [], password)
            return
        # Without its text: a server that does not know AUTH repeats the arguments, the password among them.
        raise RedisProblemError(reply_problem(str(error), with_detail=False)) from None
