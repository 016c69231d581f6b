"""The twistd plugin's command line, and the one place that names the global reactor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from random import Random, SystemRandom
from typing import Any, ClassVar, cast

from twisted.application.service import IService
from twisted.internet import endpoints
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python import usage

from wsrelay import __version__
from wsrelay.app.service import RelayService
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.config import Setting, Settings, load, nearest, table
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.interfaces import IBroker
from wsrelay.process.clock import use_monotonic_clock, wall_clock
from wsrelay.process.garbage_collection import tune_garbage_collector
from wsrelay.process.limits import client_capacity, raise_open_file_limit
from wsrelay.process.signals import ignore_further_signals, reload_on_hangup
from wsrelay.transports.listening.proxy_protocol import behind_proxy
from wsrelay.transports.listening.tls import ReloadingTLS, under_tls

__all__ = ["Options", "makeService"]

BACKLOG = 1024
"""Connections the kernel queues: after a deploy thousands come at once (Twisted's default is 50)."""


def _describe(row: Setting) -> str:
    unit = f"in {row.unit}, " if row.unit else ""
    return f"{row.help} [{unit}default {row.shown_default}; {', '.join(row.environ)}]"


class Options(usage.Options):
    """The flags of `twistd wsrelay`, made from the table of settings.

    Args:
        environ: The process's environment.
    """

    synopsis = "[options]"

    longdesc = (
        "Put WebSockets in front of Redis: what any program PUBLISHes on wsrelay:<channel> reaches every client at "
        "/ws/<channel>. Each setting is taken from its flag, else its environment variable, else the TOML file named "
        "by --config, else its default. Flags that take a list may be given several times. What may hold a credential "
        "has no flag, because the arguments of a process are public; a variable with _FILE behind its name may say "
        "which file holds it, as in WSRELAY_API_KEYS_FILE. "
        + " ".join(f"{row.name} ({', '.join(row.environ)}): {row.help}" for row in table() if row.secret)
    )

    optParameters: ClassVar[list[list[str | None]]] = [  # noqa: N815 -- usage.Options reads it
        [row.flag, None, None, _describe(row)] for row in table() if row.flag is not None and not row.is_list
    ]

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        super().__init__()
        self.settings = Settings()

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Read flags, environment and file.

        Raises:
            SystemExit: Something cannot be used; one line says what. The status is 1.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"wsrelay: {error}{_meant(str(error))} (twistd wsrelay --help lists all)") from None

    def parseArgs(self, *args: str) -> None:
        """Take no arguments beside flags."""
        if args:
            raise usage.UsageError(f"unexpected argument {args[0]!r}: every setting is a --flag")

    def postOptions(self) -> None:
        """Check everything as a whole."""
        given = {name.replace("-", "_"): value for name, value in self.items() if value is not None}
        try:
            self.settings = load(given, self._environ)
        except ConfigError as error:
            raise SystemExit(f"wsrelay: {error}") from None

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"wsrelay {__version__}\n")
        raise SystemExit(0)


def _repeatable(row: Setting) -> Callable[[Options, str], None]:
    def take(self: Options, text: str) -> None:
        self[row.name] = f"{self[row.name]},{text}" if row.name in self else text

    take.__doc__ = _describe(row)
    return take


for _row in table():
    if _row.flag is not None and _row.is_list:
        # usage.Options has no parameter that may be given twice; what it has is methods.
        setattr(Options, f"opt_{_row.name}", _repeatable(_row))


def _meant(message: str) -> str:
    words = [word for word in message.replace("=", " ").split() if word.startswith("--")]
    for row in table():
        if words and row.flag is None and words[0].removeprefix("--").replace("-", "_") == row.name:
            return f": it has no flag, for it may hold a credential; set {row.environ[-1]} or {row.environ_file}"
    return nearest(words[0], [f"--{row.flag}" for row in table() if row.flag]) if words else ""


class _StartFailed(SystemExit):
    """The process cannot start: one line instead of a traceback, and status 1."""


class _Relay(RelayService):
    """The service as twistd runs it: the operator's mistakes end the process with one line."""

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()
        except ConfigError as error:
            raise _StartFailed(f"wsrelay: {error}") from None


def makeService(options: Options) -> IService:
    """Build the service from checked options, bottom up."""
    from twisted.internet import reactor  # noqa: TID251 -- the one place

    use_monotonic_clock(reactor)
    settings = options.settings
    rng = SystemRandom()
    reactor.addSystemEventTrigger("before", "shutdown", ignore_further_signals)
    # After the start: what exists then stays for the life of the process.
    reactor.callWhenRunning(tune_garbage_collector)
    capacity = client_capacity(raise_open_file_limit())
    if capacity < 1:
        raise _StartFailed("wsrelay: the limit of open files is too low for even one client: raise ulimit -n")
    if settings.max_connections > capacity:
        Logger("wsrelay").warn(
            "max_connections is reduced to {capacity} by the limit of open files: raise ulimit -n", capacity=capacity
        )
    try:
        certificates = _certificates(reactor, settings)
        broker = _broker(reactor, settings, rng)
        listening = _endpoints(reactor, settings, certificates)
        relay = _Relay(settings, broker, listening, reactor, rng, capacity, certificates, wall_clock)
    except ConfigError as error:
        raise _StartFailed(f"wsrelay: {error}") from None
    if not sys.stdin.isatty():
        # On a terminal SIGHUP means that the terminal is closed, and ends the process as usual.
        reactor.callWhenRunning(reload_on_hangup, reactor, relay.reload)
    return relay


def _broker(reactor: Any, settings: Settings, rng: Random) -> IBroker:
    if not settings.uses_redis or settings.redis_url is None:
        return MemoryBroker(reactor)
    # txredisapi installs a reactor when it is imported; by now twistd has installed the one it was asked for.
    from wsrelay.brokers.redis.broker import RedisBroker
    from wsrelay.brokers.redis.endpoint import redis_endpoint

    url = settings.redis_url
    endpoint = redis_endpoint(
        reactor,
        url,
        verify=settings.redis_tls_verify,
        ca_file=settings.redis_ca_file,
        fingerprint=settings.redis_tls_fingerprint,
    )
    return RedisBroker(endpoint, url, settings.prefix, reactor, rng)


def _certificates(reactor: Any, settings: Settings) -> ReloadingTLS | None:
    if not settings.tls_certificates:
        return None
    return ReloadingTLS(settings.tls_certificates, settings.tls_min_version, reactor, wall_clock)


def _endpoints(reactor: Any, settings: Settings, certificates: ReloadingTLS | None) -> list[IStreamServerEndpoint]:
    found = [_endpoint(reactor, "listen", text) for text in settings.listen]
    if settings.listens_on_port:
        found.append(endpoints.TCP4ServerEndpoint(reactor, settings.port, BACKLOG, settings.host))
    if certificates is not None:
        # The last ones: the log tells by that which of them have TLS.
        found += [under_tls(certificates, _endpoint(reactor, "listen_tls", text)) for text in settings.listen_tls]
    return found


def _endpoint(reactor: Any, name: str, text: str) -> IStreamServerEndpoint:
    if text.startswith(("ssl:", "tls:")):
        Logger("wsrelay").warn(
            "{name}: certificates of {kind} endpoints are never read again; listen_tls and tls_certificates are",
            name=name,
            kind=text[:4],
        )
    below = text.removeprefix("haproxy:")
    try:
        endpoint = cast(IStreamServerEndpoint, endpoints.serverFromString(reactor, below))
        return endpoint if below == text else behind_proxy(endpoint)
    except Exception as error:  # noqa: BLE001 -- parsers of endpoints, which may be plugins, raise what they like
        raise ConfigError(f"{name}: {text!r} is not an endpoint that can be used: {error}") from None
