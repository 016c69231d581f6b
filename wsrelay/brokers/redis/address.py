"""Where Redis is and how to sign in, which may change while the relay runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from wsrelay.config.redis_url import RedisURL
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["RedisAddress"]


@implementer(IStreamClientEndpoint)
class RedisAddress:
    """The address of a Redis server. As a str: without the credentials.

    Args:
        url: The address and the credentials.
        make_endpoint: Makes the endpoint of a URL. Called for each connection, so that certificates that were renewed
            meanwhile are used.

    Attributes:
        url: The URL for new connections.

    Raises:
        ConfigError: A file that is needed cannot be used.
    """

    log = Logger()

    def __init__(self, url: RedisURL, make_endpoint: Callable[[RedisURL], IStreamClientEndpoint]) -> None:
        self._make_endpoint = make_endpoint
        self._endpoint = make_endpoint(url)
        self._logged_problem = ""
        self._has_logged_fallback = False
        self.url = url

    def __str__(self) -> str:
        return str(self.url)

    def prepare(self, url: RedisURL) -> Callable[[], None]:
        """Check another URL.

        Returns:
            A function that uses the URL for new connections. Those that are open stay.

        Raises:
            ConfigError: A file that is needed cannot be used.
        """
        endpoint = self._make_endpoint(url)

        def use() -> None:
            self.url, self._endpoint = url, endpoint

        return use

    def log_fallback(self) -> None:
        """Log that the server has no users, the first time only: it is tried anew for each connection."""
        if not self._has_logged_fallback:
            self._has_logged_fallback = True
            self.log.info("Redis has no users (it is older than 6.0): signing in by the password alone")

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803 -- Twisted's name
        """See `IStreamClientEndpoint.connect`. Where files cannot be used, what they held before is.

        The connection gets the URL that it is made with, which may be replaced before it signs in: a new password must
        not reach the old server.
        """
        url = self.url
        try:
            self._endpoint = self._make_endpoint(url)
            self._logged_problem = ""
        except ConfigError as error:
            if str(error) != self._logged_problem:
                self._logged_problem = str(error)
                self.log.error("not read again, the old file stays in use: {reason}", reason=str(error))  # noqa: TRY400 -- an operator's mistake
        return self._endpoint.connect(protocolFactory).addCallback(_bind, url)


def _bind(connection: Any, url: RedisURL) -> Any:
    connection.url = url
    return connection
