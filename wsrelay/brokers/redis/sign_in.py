"""The first commands on a connection to Redis."""

from __future__ import annotations

from wsrelay import __version__
from wsrelay.brokers.redis.connection import RedisConnection, ResponseError
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.outcomes.errors import BrokerUnavailable

__all__ = ["sign_in"]


async def sign_in(connection: RedisConnection, url: RedisURL, role: bytes) -> None:
    """Authenticate a connection and give it a name.

    Args:
        connection: A new connection.
        url: The user name and password.
        role: The end of the connection's name in CLIENT LIST.

    Raises:
        BrokerUnavailable: Redis rejects the user name or the password.
    """
    if url.password is not None:
        user = [] if url.username is None else [url.username.encode()]
        try:
            await connection.command(b"AUTH", *user, url.password.encode())
        except ResponseError as error:
            # The code alone: a server without AUTH repeats the arguments, the password among them.
            code = str(error).partition(" ")[0]
            raise BrokerUnavailable(f"Redis rejected AUTH ({code})") from None
    # For the operator's CLIENT LIST. Its failure (an ACL without it, an old server) does no harm.
    name = b"wsrelay-%s-%s" % (__version__.encode(), role)
    connection.command(b"CLIENT", b"SETNAME", name).addErrback(lambda _failure: None)
