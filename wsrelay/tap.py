"""The twistd plugin's command line, and the one place that names the global reactor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, ClassVar, cast

from twisted.application.service import IService
from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python import usage

from wsrelay import __version__
from wsrelay.app.reloading import SecretReloader, SecretUser, secret_users
from wsrelay.app.service import RelayService
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.config import Setting, Settings, foreign_variables, load, setting_table, suggestion
from wsrelay.config.usage_text import usage_text
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.interfaces import IBroker
from wsrelay.process.clock import use_monotonic_clock, wall_clock
from wsrelay.process.direct_reads import read_directly
from wsrelay.process.garbage_collection import tune_garbage_collector
from wsrelay.process.initial_environment import initial_environment
from wsrelay.process.limits import client_capacity, raise_open_file_limit
from wsrelay.process.log_output import log_as_set
from wsrelay.process.service_manager import ServiceManager
from wsrelay.process.signals import ignore_further_signals, reap_orphans, reload_on_hangup
from wsrelay.process.standard_streams import open_missing_streams
from wsrelay.process.start_report import StartReport
from wsrelay.process.twistd_options import check_twistd_options, remove_own_pidfile
from wsrelay.process.wakeups import limit_wakeups
from wsrelay.transports.listening.proxy_protocol import behind_proxy
from wsrelay.transports.listening.systemd_sockets import PassedSockets, passed_sockets
from wsrelay.transports.listening.tls import ReloadingTLS, under_tls
from wsrelay.transports.listening.tls_policy import TLSPolicy
from wsrelay.transports.listening.unix_sockets import UnixReactor

__all__ = ["Options", "makeService"]

BACKLOG = 4096
"""Connections that the kernel queues: after a deploy thousands arrive at once (Twisted's default is 50). One that finds
no room tries again a second later, a probe among them. Linux cuts it to net.core.somaxconn, which is as much."""

_HAVE_BACKLOG = ("tcp:", "tcp6:", "unix:")
"""The beginnings of Twisted's endpoints that take a backlog."""

MIN_COLUMNS = 40
"""The narrowest usage text."""

_FLAGS = {f"--{row.flag}": row for row in setting_table() if row.flag is not None}
"""The setting behind each flag; all of them take a value."""

_OTHER_FLAGS = ("--help", "--version")


class Options(usage.Options):
    """The flags of `twistd wsrelay`, made from the table of settings.

    Args:
        environ: The environment of the process.

    Attributes:
        environ: The argument of that name.
        settings: The settings that flags, environment and file set together, once they are parsed.
        ignored: The variables of the environment that look like settings and belong to others.
        sockets: The sockets that systemd has passed.
    """

    synopsis = "[options]"

    optParameters: ClassVar[list[list[str | None]]] = [  # noqa: N815 -- usage.Options reads it
        [row.flag, None, None, row.help] for row in _FLAGS.values() if not row.is_list
    ]

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ
        self.sockets = passed_sockets(initial_environment() if environ is os.environ else environ, os.getpid())
        self._flags: dict[str, str] = {}
        # Relative paths refer to it, also after twistd has changed its directory (`--rundir`).
        self._directory = _working_directory()
        super().__init__()
        self.settings = Settings()
        self.ignored: list[str] = []

    @property
    def twistd(self) -> Mapping[str, Any] | None:
        """The options of twistd, or None if something else starts the service."""
        return self.parent if self.parent is not None and "nodaemon" in self.parent else None

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Read flags, environment and file.

        Args:
            options: The command line behind the name of the subcommand. If None, that of the process.

        Raises:
            SystemExit: Something cannot be used; one line says what. The status is 1.
        """
        # Before the reactor, which is made when it is first imported, takes the place of a stream.
        open_missing_streams()
        try:
            _check_flags(sys.argv[1:] if options is None else options)
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"wsrelay: {error} (twistd wsrelay --help lists all flags)") from None

    def parseArgs(self, *args: str) -> None:
        """Reject arguments that are not flags."""
        if args:
            raise usage.UsageError(f"unexpected argument {args[0]!r}: every setting is a --flag")

    def postOptions(self) -> None:
        """Read the other sources, and check all settings together."""
        remove_own_pidfile(self.twistd or {})
        self._flags = {name.replace("-", "_"): value for name, value in self.items() if value is not None}
        try:
            self.settings = self.load()
            self.ignored = foreign_variables(self.environ)
        except ConfigError as error:
            raise SystemExit(f"wsrelay: {error}") from None

    def load(self) -> Settings:
        """Return the settings as all sources have them now: files may have changed.

        Raises:
            ConfigError: Something cannot be used.
        """
        return load(self._flags, self.environ, self._directory, has_sockets=bool(self.sockets))

    def getUsage(self, width: int | None = None) -> str:
        """Return the flags in groups; Twisted's own text is one flat list."""
        columns = self.environ.get("COLUMNS", "")
        return usage_text(setting_table(), width or max(MIN_COLUMNS, int(columns) if columns.isdecimal() else 80))

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"wsrelay {__version__}\n")
        raise SystemExit(0)


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        # It has been deleted. Absolute paths work all the same.
        return Path()


def _repeatable(row: Setting) -> Callable[[Options, str], None]:
    def append(self: Options, text: str) -> None:
        self[row.name] = f"{self[row.name]},{text}" if row.name in self else text

    append.__doc__ = row.help
    return append


for _row in _FLAGS.values():
    if _row.is_list:
        # usage.Options has no parameter that may be given several times, but it calls methods for each occurrence.
        setattr(Options, f"opt_{_row.name}", _repeatable(_row))


def _check_flags(arguments: Sequence[str]) -> None:
    """Reject flags that do not exist. getopt would take every unambiguous abbreviation for the flag.

    Raises:
        usage.UsageError: The text names the nearest flag, or the variable to set instead.
    """
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("-") or argument in ("-", "--"):
            return
        name, equals, _ = argument.partition("=")
        if name in _FLAGS:
            if not equals:
                next(remaining, None)  # the value, which may begin with dashes
        elif name not in _OTHER_FLAGS:
            raise usage.UsageError(f"unknown flag {name}{_hint(name)}")


def _hint(name: str) -> str:
    key = name.removeprefix("--").replace("-", "_")
    for row in setting_table():
        if row.secret and key == row.name:
            return f": {key} has no flag, for it may hold a credential; set {row.variable} or {row.environ_file}"
    return suggestion(name, [*_FLAGS, *_OTHER_FLAGS])


class _Relay(RelayService):
    """The service as twistd runs it: an error of the operator ends the process with one line.

    Attributes:
        report: Reports how the start ended.
        options: What the command line says.
        manager: The program that has started the process, such as systemd.
    """

    report: StartReport
    options: Options
    manager: ServiceManager
    _has_listened = False

    def setServiceParent(self, parent: Any) -> None:
        # twistd begins to log behind this.
        log_as_set(parent, self.options.twistd, self.options.settings, self.options.environ, cast(Any, self._clock))
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        self._has_listened = True
        self.report.forked()
        # Not later: as soon as the prompt is back somebody may send it.
        reload_on_hangup(self._clock, self.reload)
        try:
            super().privilegedStartService()
        except ConfigError as error:
            self.report.fail(str(error))

    def startService(self) -> None:
        # `twist`, Twisted's other runner, leaves the first step out.
        if not self._has_listened:
            self.privilegedStartService()
        super().startService()
        self.report.started()

    def reload(self) -> None:
        with self.manager.reloading():
            super().reload()

    def stopService(self) -> Deferred[None]:
        stopped = super().stopService()
        self.manager.stopping(self.relay.settings.drain_timeout_seconds)
        return stopped.addCallback(lambda _none: self.manager.stop())


def makeService(options: Options) -> IService:
    """Build the service from checked options, bottom up."""
    report = StartReport(options.twistd)
    report.begin()
    try:
        return _make_relay(options, report)
    except ConfigError as error:
        report.fail(str(error))


def _make_relay(options: Options, report: StartReport) -> IService:
    from twisted.internet import reactor  # noqa: TID251 -- the one place

    check_twistd_options(options.twistd or {})
    use_monotonic_clock(reactor)
    settings = options.settings
    rng = SystemRandom()
    capacity = client_capacity(raise_open_file_limit())
    if capacity < 1:
        raise ConfigError("the limit of open files is too low for even one client: raise ulimit -n")
    certificates = _certificates(reactor, settings)
    secrets: list[SecretUser] = []
    broker = _broker(reactor, settings, rng, secrets)
    sockets = PassedSockets(options.sockets)
    listening = _endpoints(reactor, settings, certificates, sockets)
    relay = _Relay(settings, broker, listening, reactor, rng, capacity, certificates, wall_clock)
    relay.report, relay.options = report, options
    relay.manager = ServiceManager.take(os.environ, reactor)
    secrets += secret_users(relay.relay)
    relay.reloads.append(SecretReloader(settings, options.load, secrets).reload)
    _log_doubts(options, capacity, sockets)
    reactor.addSystemEventTrigger("before", "shutdown", ignore_further_signals)
    reactor.callWhenRunning(report.complete)
    reactor.callWhenRunning(relay.manager.start, relay.relay.health.readiness)
    # After the start: what exists then stays for the life of the process.
    reactor.callWhenRunning(tune_garbage_collector)
    read_directly(reactor)
    limit_wakeups(reactor, settings.max_wakeups_per_second)
    # The reactor has installed its own handler by then.
    reactor.callWhenRunning(reap_orphans)
    return relay


def _log_doubts(options: Options, capacity: int, sockets: PassedSockets) -> None:
    """Log what is accepted although the operator may have meant something else."""
    log = Logger("wsrelay")
    if options.settings.max_connections > capacity:
        log.warn(
            "max_connections is reduced to {capacity} by the limit of open files: raise ulimit -n", capacity=capacity
        )
    if unused := sockets.unused:
        log.warn(
            "systemd has passed sockets that nothing listens on: {names}; add systemd to listen, or leave out where to "
            "listen",
            names=", ".join(unused),
        )
    if options.ignored:
        log.warn(
            "ignored environment variables that begin with WSRELAY_ and are no settings: {names}. Kubernetes sets "
            "those of services unless enableServiceLinks is false",
            names=", ".join(options.ignored),
        )


def _broker(reactor: Any, settings: Settings, rng: Random, secrets: list[SecretUser]) -> IBroker:
    """Return the broker, and append what uses a secret of it."""
    if not settings.uses_redis or settings.redis_url is None:
        return MemoryBroker(reactor, wall_clock)
    # txredisapi installs a reactor when it is imported; by now twistd has installed the one it was asked for.
    from wsrelay.brokers.redis.address import RedisAddress
    from wsrelay.brokers.redis.broker import RedisBroker
    from wsrelay.brokers.redis.endpoint import RedisTLS, redis_endpoint

    tls = RedisTLS(
        verify=settings.redis_tls_verify,
        ca_file=settings.redis_tls_ca_file,
        fingerprint=settings.redis_tls_fingerprint,
        client_certificate=settings.redis_tls_client_certificate,
        client_key=settings.redis_tls_client_key,
    )
    address = RedisAddress(settings.redis_url, lambda url: redis_endpoint(reactor, url, tls))
    secrets.append(lambda found: address.prepare(found.redis_url or address.url))
    return RedisBroker(address, settings.prefix, reactor, rng, keeps_history=settings.has_history, now=wall_clock)


def _certificates(reactor: Any, settings: Settings) -> ReloadingTLS | None:
    if not settings.tls_certificates:
        return None
    return ReloadingTLS(
        settings.tls_certificates, TLSPolicy(settings.tls_min_version, settings.tls_ciphers), reactor, wall_clock
    )


def _endpoints(
    reactor: Any, settings: Settings, certificates: ReloadingTLS | None, sockets: PassedSockets
) -> list[IStreamServerEndpoint]:
    """Return the endpoints to listen on."""
    found = [each for text in settings.listen for each in _named_endpoints(reactor, "listen", text, sockets)]
    if settings.listens_on_port:
        # An address of IPv6 may be in brackets, as in a URL.
        host = (settings.host or "").removeprefix("[").removesuffix("]")
        found.append(endpoints.TCP4ServerEndpoint(reactor, settings.port, BACKLOG, host))
    if certificates is not None:
        found += [
            under_tls(certificates, each)
            for text in settings.listen_tls
            for each in _named_endpoints(reactor, "listen_tls", text, sockets)
        ]
    return found


def _named_endpoints(reactor: Any, setting: str, text: str, sockets: PassedSockets) -> list[IStreamServerEndpoint]:
    """Return the endpoints that a text of a setting stands for: one, or more where they are sockets of systemd."""
    if text.startswith(("ssl:", "tls:")):
        Logger("wsrelay").warn(
            "{setting}: the certificates of {scheme} endpoints are never read again; to renew them without a restart, "
            "use listen_tls and tls_certificates",
            setting=setting,
            scheme=text[:4],
        )
    inner = text.removeprefix("haproxy:")
    try:
        if sockets.is_meant(inner):
            found = sockets.endpoints(reactor, inner)
        else:
            found = [_with_backlog(UnixReactor(reactor) if inner.startswith("unix:") else reactor, inner)]
        return found if inner == text else [behind_proxy(each) for each in found]
    except Exception as error:  # noqa: BLE001 -- endpoint parsers, which may be plugins, raise any exception
        raise ConfigError(f"{setting}: {text!r} is not an endpoint that can be used: {error}") from None


def _with_backlog(reactor: Any, text: str) -> IStreamServerEndpoint:
    if text.startswith(_HAVE_BACKLOG) and ":backlog=" not in text:
        # It fails where one is given by its place.
        with suppress(Exception):
            return cast(IStreamServerEndpoint, endpoints.serverFromString(reactor, f"{text}:backlog={BACKLOG}"))
    return cast(IStreamServerEndpoint, endpoints.serverFromString(reactor, text))
