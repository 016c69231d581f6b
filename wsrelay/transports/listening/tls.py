"""TLS at the front door, with certificates that are read anew when their files change.

Connections that exist are never touched: they keep the context that they were made with, and a new certificate is for
those that come. Files are read on the reactor's thread: they are a few kilobytes each, and half a millisecond for each
certificate every few weeks is less than one fan-out. To look whether they have changed takes two microseconds a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.endpoints import wrapServerTLS
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.transports.listening.certificates import Leaf, load_certificates, look_at

__all__ = ["LOOK_SECONDS", "ReloadingTLS", "under_tls"]

LOOK_SECONDS = 10.0
"""How often the files are looked at. A change is loaded when it is the same in two looks: whoever writes a certificate
and then its private key has this long for it."""


MOST_NAMES_TOLD = 20


@implementer(IOpenSSLServerConnectionCreator)
class ReloadingTLS:
    """Makes the TLS side of connections, each with the certificates of the moment.

    Args:
        paths: Where certificates are; see `wsrelay.transports.listening.certificates`.
        minimum: The lowest version of TLS that is spoken: "1.2" or "1.3".
        clock: Time.
        now: The wall clock, in seconds since the epoch: certificates go by it.

    Raises:
        ConfigError: The certificates cannot be used.
    """

    log = Logger()

    def __init__(self, paths: Iterable[Path], minimum: str, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._paths = tuple(paths)
        self._minimum = minimum
        self._now = now
        self._timer: IDelayedCall | None = None
        self.clock = clock
        # The end of what is in use: nothing is yet.
        self._good_until = float("-inf")
        self._load()
        self._seen = self._loaded

    @property
    def expires(self) -> float:
        """When the first of the certificates ceases to be valid, in seconds since the epoch."""
        return self._certificates.expires

    def start(self) -> None:
        """Begin to watch the files."""
        self._timer = self.clock.callLater(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Watch them no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reload(self) -> None:
        """Read the files now. Where they cannot be used, the log says why and what was there stays."""
        try:
            self._load()
        except ConfigError as error:
            # An operator's mistake: a traceback would say nothing about it.
            self.log.error("certificates not loaded, the old ones stay: {why}", why=str(error))  # noqa: TRY400 -- see above

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802 -- Twisted's
        """See `IOpenSSLServerConnectionCreator.serverConnectionForTLS`."""
        return _Connection(self._certificates.default)

    def _choose(self, server_name: bytes | None) -> SSL.Context:
        return self._certificates.context_for(server_name)

    def _load(self) -> None:
        # Before they are read: what changes meanwhile is a change. And whether or not they can be used: a mistake that
        # stays is no reason to say it again.
        self._loaded = look_at(self._paths)
        certificates = load_certificates(self._paths, self._minimum, self._choose)
        if certificates.expires <= self._now() < self._good_until:
            raise ConfigError("tls_certificates: one of the new ones has expired, and all that are in use are good")
        self._certificates, self._good_until = certificates, certificates.expires
        self.log.info(
            "certificates loaded: {count}, names {names}",
            count=len(certificates.leaves),
            names=_some(certificates.names),
        )
        for leaf in certificates.leaves:
            self._look_at_dates(leaf)

    def _look_at_dates(self, leaf: Leaf) -> None:
        now = self._now()
        if now < leaf.begins:
            self.log.warn("{path} holds a certificate for later, from {date}", path=leaf.path, date=_date(leaf.begins))
        elif now >= leaf.expires:
            self.log.warn("{path} holds a certificate that expired {date}", path=leaf.path, date=_date(leaf.expires))

    def _look(self) -> None:
        self.start()
        before, self._seen = self._seen, look_at(self._paths)
        if self._seen == before != self._loaded:
            self.reload()


class _Connection(SSL.Connection):
    """A connection that keeps the context it began with.

    OpenSSL goes on using it when the server name has chosen another one. pyOpenSSL does not: after a reload it would be
    collected while its own callback runs.

    Args:
        context: The context to begin with.
    """

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context, None)
        self._began_with = context


def under_tls(creator: ReloadingTLS, endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
    """An endpoint whose connections are encrypted.

    Args:
        creator: The certificates.
        endpoint: What is below. One that reads PROXY headers gets them as balancers send them: before TLS begins.
    """
    return wrapServerTLS(creator, endpoint, creator.clock)


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES_TOLD
    return ", ".join(names[:MOST_NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
