"""TLS on listening ports, with certificates that are reloaded when their files change.

Existing connections are never touched: they keep the context that they began with, and a new certificate is for new
connections. Files are read on the reactor's thread: they are a few kilobytes each, and half a millisecond for each
certificate every few weeks is less than one fan-out. Checking them for changes takes two microseconds a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.transports.listening.certificates import ServerCertificate, file_stamps, load_certificates
from wsrelay.transports.listening.eager_tls import EagerTLSFactory
from wsrelay.transports.listening.tls_policy import TLSPolicy

__all__ = ["CHECK_INTERVAL_SECONDS", "ReloadingTLS", "under_tls"]

CHECK_INTERVAL_SECONDS = 10.0
"""The interval of the checks for changed files. A change is loaded once two checks in a row have found it the same: a
program that writes a certificate and then its private key has this long for it."""

EXPIRY_WARNING_SECONDS = 14 * 86400.0
"""How long before its end a certificate is warned about. One that is renewed by a program has been renewed by then:
certbot does it 30 days before, or after two thirds of the time of a short one."""

EXPIRY_WARNING_INTERVAL_SECONDS = 86400.0

MAX_LOGGED_NAMES = 20


@implementer(IOpenSSLServerConnectionCreator)
class ReloadingTLS:
    """Makes the TLS side of connections, each with the certificates that are loaded at that time.

    Args:
        paths: Files and directories of certificates; see `wsrelay.transports.listening.certificates`.
        policy: The versions and cipher suites to accept.
        clock: Runs the checks for changed files.
        now: Returns the wall clock time in seconds since the epoch, which the validity of certificates refers to.

    Raises:
        ConfigError: The certificates cannot be used.
    """

    log = Logger()

    def __init__(self, paths: Iterable[Path], policy: TLSPolicy, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._paths = tuple(paths)
        self._policy = policy
        self._now = now
        self._timer: IDelayedCall | None = None
        self.clock = clock
        self._warned_at = float("-inf")
        # No certificate is in use yet.
        self._valid_until = float("-inf")
        self._load()
        self._last_stamps = self._loaded_stamps

    @property
    def expires(self) -> float:
        """The earliest end of the validity of a certificate in use, in seconds since the epoch."""
        return self._certificates.expires

    def start(self) -> None:
        """Begin to check the files for changes."""
        self._timer = self.clock.callLater(CHECK_INTERVAL_SECONDS, self._check_files)

    def stop(self) -> None:
        """Stop checking the files. May be called more than once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reload(self) -> None:
        """Read the files now. If they cannot be used, log the reason and keep the certificates that are in use."""
        try:
            self._load()
        except ConfigError as error:
            # An operator's mistake: a traceback would say nothing about it.
            self.log.error("certificates not loaded, the old ones stay in use: {reason}", reason=str(error))  # noqa: TRY400 -- see above

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802 -- Twisted's
        """See `IOpenSSLServerConnectionCreator.serverConnectionForTLS`."""
        return _PinnedConnection(self._certificates.default)

    def _select_context(self, server_name: bytes | None) -> SSL.Context:
        return self._certificates.context_for(server_name)

    def _load(self) -> None:
        # Taken before the files are read, so that a change made meanwhile is found by the next check; and kept if they
        # cannot be used, so that a lasting mistake is logged once.
        self._loaded_stamps = file_stamps(self._paths)
        certificates = load_certificates(self._paths, self._policy, self._select_context)
        if certificates.expires <= self._now() < self._valid_until:
            raise ConfigError("tls_certificates: a new certificate has expired, and those in use are all still valid")
        self._certificates, self._valid_until = certificates, certificates.expires
        self.log.info(
            "certificates loaded: {count}, names {names}",
            count=len(certificates.certificates),
            names=_shorten(certificates.names),
        )
        self._check_dates()

    def _check_dates(self) -> None:
        # By a clock that nobody sets, so that it is once a day.
        self._warned_at = self.clock.seconds()
        for certificate in self._certificates.certificates:
            self._check_date(certificate)

    def _check_date(self, certificate: ServerCertificate) -> None:
        now = self._now()
        if now < certificate.begins:
            text, date = "is not valid before {date}", certificate.begins
        elif now >= certificate.expires:
            text, date = "expired on {date}: renew it", certificate.expires
        elif now >= certificate.expires - min(EXPIRY_WARNING_SECONDS, (certificate.expires - certificate.begins) / 4):
            text, date = "expires on {date}: renew it", certificate.expires
        else:
            return
        self.log.warn(
            f"{{path}} contains a certificate for {{names}} that {text}",
            path=certificate.path,
            names=_shorten(list(certificate.names)) or "no name",
            date=datetime.fromtimestamp(date, UTC).isoformat(),
        )

    def _check_files(self) -> None:
        self.start()
        if self.clock.seconds() - self._warned_at >= EXPIRY_WARNING_INTERVAL_SECONDS:
            self._check_dates()
        before, self._last_stamps = self._last_stamps, file_stamps(self._paths)
        if self._last_stamps == before != self._loaded_stamps:
            self.reload()


class _PinnedConnection(SSL.Connection):
    """A connection that refers to the context it began with.

    OpenSSL still uses that context after the server name has selected another one. pyOpenSSL does not refer to it:
    after a reload it would be collected while its own callback runs.

    Args:
        context: The context to begin with.
    """

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context, None)
        self._first_context = context


@implementer(IStreamServerEndpoint)
class _TLSEndpoint:
    def __init__(self, creator: ReloadingTLS, endpoint: IStreamServerEndpoint) -> None:
        self._creator = creator
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803 -- Twisted's
        """See `IStreamServerEndpoint.listen`."""
        return self._endpoint.listen(EagerTLSFactory(self._creator, False, protocolFactory, self._creator.clock))


def under_tls(creator: ReloadingTLS, endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
    """Wrap an endpoint with TLS.

    Args:
        creator: Makes the TLS side of the connections.
        endpoint: Accepts the connections. It may read PROXY headers, which proxies send before TLS begins.

    Returns:
        An endpoint whose connections are encrypted.
    """
    return _TLSEndpoint(creator, endpoint)


def is_under_tls(endpoint: IStreamServerEndpoint) -> bool:
    """Return whether `under_tls` has made an endpoint."""
    return isinstance(endpoint, _TLSEndpoint)


def _shorten(names: list[str]) -> str:
    more = len(names) - MAX_LOGGED_NAMES
    return ", ".join(names[:MAX_LOGGED_NAMES]) + (f" and {more} more" if more > 0 else "")
