"""The twistd plugin's command line, and the one place that names the global reactor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, ClassVar, cast

from twisted.application.service import IService, MultiService
from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python import usage

from wsrelay import __version__
from wsrelay.app.build import build_relay
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
from wsrelay.process.signals import ignore_further_signals, reap_orphans, reload_on_hangup, replace_on_signal
from wsrelay.process.standard_streams import open_missing_streams
from wsrelay.process.start_report import StartReport
from wsrelay.process.twistd_options import check_twistd_options, remove_own_pidfile
from wsrelay.process.wakeups import limit_wakeups
from wsrelay.transports.listening.proxy_protocol import behind_proxy
from wsrelay.transports.listening.systemd_sockets import PassedSockets, passed_sockets
from wsrelay.transports.listening.tls import ReloadingTLS, under_tls
from wsrelay.transports.listening.tls_policy import TLSPolicy
from wsrelay.transports.listening.unix_sockets import UnixReactor
from wsrelay.workers.context import WorkerContext
from wsrelay.workers.count import divided, worker_count
from wsrelay.workers.duties import WorkerDuties
from wsrelay.workers.parent import ParentService
from wsrelay.workers.shared_sockets import InheritedPassedSockets, InheritedSockets, SharedSockets
from wsrelay.workers.spawning import WorkerSpawner
from wsrelay.workers.supervisor import Supervisor

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
        flags: The flags by setting name, once they are parsed.
        directory: The directory that relative paths refer to.
        worker: The place of this process among several workers. If None, it is no worker.
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
        self.worker = WorkerContext.take(os.environ) if environ is os.environ else None
        self.sockets = (
            passed_sockets(initial_environment() if environ is os.environ else environ, os.getpid())
            if self.worker is None
            else self.worker.passed_sockets
        )
        self.flags: dict[str, str] = {}
        # Relative paths refer to it, also after twistd has changed its directory (`--rundir`).
        self.directory = _working_directory()
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
        self.flags = {name.replace("-", "_"): value for name, value in self.items() if value is not None}
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
        return load(self.flags, self.environ, self.directory, has_sockets=bool(self.sockets))

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


class _Main(MultiService):
    """The service as twistd runs it: an error of the operator ends the process with one line.

    Args:
        reactor: The reactor.
        service: The relay, or the parent of several.
        report: Reports how the start ended.
        options: What the command line says.
        finish: Called when the service has stopped, in a worker; returns a Deferred that fires when it is done. If
            None, there is nothing left to do then.

    Attributes:
        service: See above.
        manager: The program that has started the process, such as systemd.
    """

    _has_listened = False

    def __init__(
        self,
        reactor: Any,
        service: RelayService | ParentService,
        report: StartReport,
        options: Options,
        finish: Callable[[], Deferred[None]] | None = None,
    ) -> None:
        super().__init__()
        self._finish = finish
        self._reactor = reactor
        self._report = report
        self._options = options
        self.service = service
        # Its variables are not for workers: they have another parent.
        self.manager = ServiceManager.take(os.environ, reactor)
        service.setServiceParent(self)
        reactor.callWhenRunning(self.manager.start, service.readiness)

    def setServiceParent(self, parent: Any) -> None:
        # twistd begins to log behind this.
        options = self._options
        log_as_set(parent, options.twistd, options.settings, options.environ, self._reactor)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        self._has_listened = True
        self._report.forked()
        # Not later: as soon as the prompt is back somebody may send it.
        reload_on_hangup(self._reactor, self._reload)
        if isinstance(self.service, ParentService):
            replace_on_signal(self._reactor, self.service.replace_workers)
        try:
            super().privilegedStartService()
        except ConfigError as error:
            self._report.fail(str(error))

    def startService(self) -> None:
        # `twist`, Twisted's other runner, leaves the first step out.
        if not self._has_listened:
            self.privilegedStartService()
        super().startService()
        self._report.started()

    def stopService(self) -> Deferred[Any]:
        stopped: Deferred[Any] = super().stopService()
        self.manager.stopping(self._options.settings.drain_timeout_seconds)
        if (finish := self._finish) is not None:
            stopped.addCallback(lambda _: finish())
        return stopped.addCallback(lambda _: self.manager.stop())

    def _reload(self) -> None:
        with self.manager.reloading():
            self.service.reload()


def makeService(options: Options) -> IService:
    """Build the service from checked options, bottom up."""
    report = StartReport(options.twistd)
    report.begin()
    try:
        return _make_service(options, report)
    except ConfigError as error:
        report.fail(str(error))


def _make_service(options: Options, report: StartReport) -> IService:
    from twisted.internet import reactor  # noqa: TID251 -- the one place

    check_twistd_options(options.twistd or {})
    use_monotonic_clock(reactor)
    reactor.addSystemEventTrigger("before", "shutdown", ignore_further_signals)
    reactor.callWhenRunning(report.complete)
    settings = options.settings
    context = options.worker
    workers = worker_count(settings.workers, settings.uses_redis)
    if context is None and workers > 1:
        return _Main(reactor, _make_parent(reactor, options, workers), report, options)
    if context is None and settings.workers != workers:
        Logger("wsrelay").info("one worker runs: without Redis no other could send to its clients")
    relay, duties = _make_relay(reactor, options, context)
    return _Main(reactor, relay, report, options, None if duties is None else duties.finish)


def _make_parent(reactor: Any, options: Options, workers: int) -> ParentService:
    settings = options.settings
    if (options.twistd or {}).get("chroot") is not None:
        raise ConfigError("workers: the programs of workers are not inside the directory of twistd --chroot; set 1")
    rng = SystemRandom()
    sockets = SharedSockets(reactor, workers)
    certificates = _certificates(reactor, settings)
    # Whatever cannot be used is said at the prompt, and not by each worker.
    build_relay(settings, MemoryBroker(reactor, wall_clock), reactor, rng)
    spawner = WorkerSpawner(
        reactor,
        sockets,
        workers,
        flags=options.flags,
        environ=os.environ,
        directory=str(options.directory),
        passed=[each.name for each in options.sockets],
        prints=_prints(options.twistd),
    )
    supervisor = Supervisor(
        workers,
        spawner.spawn,
        reactor,
        rng,
        drain_timeout_seconds=settings.drain_timeout_seconds,
        max_memory_bytes=settings.max_worker_memory_bytes,
        gave_up=partial(_give_up, reactor),
    )
    passed = PassedSockets(options.sockets)
    listening = _endpoints(sockets, settings, certificates, passed)
    _log_doubts(options, client_capacity(raise_open_file_limit()), passed)
    return ParentService(sockets, listening, supervisor, close_after_seconds=settings.shutdown_delay_seconds)


def _prints(twistd: Mapping[str, Any] | None) -> bool:
    """Return whether the log of the process is its standard output, which it can share with others."""
    options = twistd or {}
    return bool(options.get("nodaemon")) and options.get("logfile") in (None, "-") and not options.get("syslog")


def _give_up(reactor: Any, reason: str) -> None:
    Logger("wsrelay").critical("{reason}", reason=reason)
    reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
    reactor.stop()


def _make_relay(
    reactor: Any, options: Options, context: WorkerContext | None
) -> tuple[RelayService, WorkerDuties | None]:
    """Return the relay, and what it owes its parent if it has one."""
    settings = options.settings
    rng = SystemRandom()
    capacity = client_capacity(raise_open_file_limit())
    if capacity < 1:
        raise ConfigError("the limit of open files is too low for even one client: raise ulimit -n")
    certificates = _certificates(reactor, settings)
    secrets: list[SecretUser] = []
    broker = _broker(reactor, settings, rng, secrets)
    sockets = PassedSockets(options.sockets) if context is None else InheritedPassedSockets(options.sockets)
    duties: WorkerDuties | None = None
    relay: RelayService
    if context is None:
        listening = _endpoints(reactor, settings, certificates, sockets)
        relay = RelayService(settings, broker, listening, reactor, rng, capacity, certificates, wall_clock)
        _log_doubts(options, capacity, sockets)
    else:
        settings = divided(settings, context.workers)
        listening = _endpoints(InheritedSockets(reactor, context.sockets), settings, certificates, sockets)
        duties = WorkerDuties(
            reactor,
            context.link,
            readiness=lambda: relay.readiness(),
            snapshot=lambda: relay.relay.health.snapshot(),
            parent_ended=reactor.stop,
        )
        relay = RelayService(settings, broker, listening, reactor, rng, capacity, certificates, wall_clock, duties)
        reactor.callWhenRunning(duties.start)
    secrets += secret_users(relay.relay)
    relay.reloads.append(SecretReloader(options.settings, options.load, secrets).reload)
    # After the start: what exists then stays for the life of the process.
    reactor.callWhenRunning(tune_garbage_collector)
    read_directly(reactor)
    limit_wakeups(reactor, settings.max_wakeups_per_second)
    # The reactor has installed its own handler by then.
    reactor.callWhenRunning(reap_orphans)
    return relay, duties


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
    from wsrelay.brokers.redis.endpoint import redis_endpoint, redis_tls

    tls = redis_tls(settings)
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
            is_own = inner.startswith("unix:") and not isinstance(reactor, (SharedSockets, InheritedSockets))
            found = [_with_backlog(UnixReactor(reactor) if is_own else reactor, inner)]
        return found if inner == text else [behind_proxy(each) for each in found]
    except Exception as error:  # noqa: BLE001 -- endpoint parsers, which may be plugins, raise any exception
        raise ConfigError(f"{setting}: {text!r} is not an endpoint that can be used: {error}") from None


def _with_backlog(reactor: Any, text: str) -> IStreamServerEndpoint:
    if text.startswith(_HAVE_BACKLOG) and ":backlog=" not in text:
        # It fails where one is given by its place.
        with suppress(Exception):
            return cast(IStreamServerEndpoint, endpoints.serverFromString(reactor, f"{text}:backlog={BACKLOG}"))
    return cast(IStreamServerEndpoint, endpoints.serverFromString(reactor, text))
