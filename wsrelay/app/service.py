"""The process: what starts and stops in which order.

Starting: listen first, then connect to Redis, because a platform waits for the port and not for Redis. Stopping, on
SIGTERM or SIGINT: not ready, stop listening, say goodbye to every client, wait for them, abort those who stay, and
disconnect from Redis last, so that messages flow until the end. All of it within the drain time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.auth.build import Authentication
from wsrelay.config import Settings
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.flow.drain_schedule import drain_delays
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.engine.node import Node
from wsrelay.engine.operations import Operations
from wsrelay.engine.reactor_lag import LagMeter
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.interfaces import IBroker
from wsrelay.metrics.counters import Counters
from wsrelay.metrics.exposition import exposition
from wsrelay.transports.listening.eager_tcp import write_eagerly
from wsrelay.transports.listening.router import ConnectionRouterFactory
from wsrelay.transports.listening.tls import ReloadingTLS
from wsrelay.transports.websocket.protocol import WebSocketConnectionFactory
from wsrelay.web.api.keys import APIKeys
from wsrelay.web.api.relay_api import RelayAPI
from wsrelay.web.site import build_site

__all__ = ["RelayService"]

FAREWELLS_PER_SECOND = 500.0
"""How many clients a second may come back to the other processes without hurting them."""

FAREWELL_SHARE = 0.6
"""The part of the drain time over which farewells are spread; the rest is for the last ones to leave."""

CALLS_SECONDS = 3.0
"""How long requests over HTTP that are under way may take to end; among them are connections that say nothing."""

_LOOK_AGAIN_SECONDS = 0.05


class RelayService(Service):
    """One process of the relay.

    Args:
        settings: The operator's decisions.
        broker: Carries publications between processes.
        endpoints: Where to listen.
        clock: The reactor.
        rng: Randomness for jitter.
        most_connections: How many clients there may be where the settings do not say.
        certificates: Those that endpoints with TLS show. None: there are none.
        now: The wall clock, in seconds since the epoch. None: the reactor's clock is one.

    Raises:
        ConfigError: The keys for tokens, or a URL, cannot be used.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        broker: IBroker,
        endpoints: Sequence[IStreamServerEndpoint],
        clock: IReactorTime,
        rng: Random,
        most_connections: int = 10_000,
        certificates: ReloadingTLS | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._endpoints = endpoints
        self._certificates = certificates
        self._clock = clock
        self._rng = rng
        self.counters = Counters()
        rules = settings.build_namespaces()
        rejections = RejectionLog(self.counters, clock.seconds)
        self._auth = Authentication(
            settings, broker.credentials, clock, rng, self.counters, rejections.log_detail, now or clock.seconds
        )
        self._node = Node(broker, rules, clock, self._auth.authenticator, rng, self.counters, rejections, now)
        self._sockets = WebSocketConnectionFactory(self._node, settings, clock, rng, most_connections)
        self._lag = LagMeter(clock)
        api: RelayAPI | None = None
        if settings.api_keys:
            operations = Operations(broker, rules, now or clock.seconds)
            api = RelayAPI(operations, APIKeys(settings.api_keys), rejections, clock)
        site = build_site(
            liveness=self.liveness,
            metrics=self.metrics if settings.metrics else None,
            api=api,
            max_body_bytes=settings.max_message_bytes if settings.api_keys else 0,
            readiness=self.readiness,
            has_chat_page=settings.has_chat_page,
            body_timeout_seconds=settings.handshake_timeout_seconds,
            clock=clock,
        )
        self._door = ConnectionRouterFactory(
            self._sockets,
            site,
            settings,
            admission=self._sockets.admission,
            counters=self.counters,
            origins=OriginPolicy(settings.origins, require=settings.require_origin),
            rejections=rejections,
            wheel=self._node.wheel,
        )
        self._ports: list[IListeningPort] = []

    def liveness(self) -> tuple[int, str]:
        """HTTP status and text: that the process lives, and how late it was at worst."""
        return 200, f"alive; largest reactor lag in the last minute: {self._lag.worst * 1000:.0f} ms"

    def metrics(self) -> bytes:
        """This process's numbers."""
        self.counters.deliveries = self._node.deliveries
        gauges: dict[str, Callable[[], float]] = {
            "connections": lambda: len(self._sockets.sockets),
            "channels": lambda: self._node.channels,
            "authenticated_connections": lambda: len(self._node.registry),
            "certificate_expiry_timestamp_seconds": lambda: self._certificates.expires if self._certificates else 0.0,
            "ready": lambda: float(self.readiness()[0] == 200),
            "reactor_lag_seconds": lambda: self._lag.worst,
        }
        return exposition(self.counters, gauges)

    def readiness(self) -> tuple[int, str]:
        """HTTP status and text: whether clients should be sent here, and why not."""
        if self._sockets.stopping:
            return 503, "not ready: stopping"
        if not self._broker.ready:
            return 503, f"not ready: {self._broker.name}: {self._broker.problem}"
        return 200, "ready"

    def privilegedStartService(self) -> None:
        """Listen; ports below 1024 need the privileges that twistd is about to give up.

        Raises:
            ConfigError: The address is taken or not ours.
        """
        failures: list[Failure] = []
        for endpoint in self._endpoints:
            endpoint.listen(self._door).addCallbacks(self._listening, failures.append)
        if failures:
            if failures[0].check(OSError):
                raise ConfigError(f"cannot listen: {failures[0].getErrorMessage()}")
            failures[0].trap(CannotListenError)
            error: Any = failures[0].value
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            raise ConfigError(f"cannot listen on {error.interface or '*'}:{error.port}: {reason}")

    def startService(self) -> None:
        """Connect to the broker."""
        super().startService()
        if self._settings.requires_authentication and not (self._auth.can_authenticate or self._settings.uses_redis):
            self.log.warn(
                "some channels want a credential, and there is no way to have one: set token_keys, token_jwks_url, "
                "hook_url, or api_keys to mint tickets"
            )
        if self._auth.accepts_tokens and not self._settings.requires_authentication:
            self.log.warn(
                "tokens are configured, but every channel is public: set access, or let namespaces ask for a credential"
            )
        self._lag.start()
        self._auth.start()
        if self._certificates is not None:
            self._certificates.start()
        self._broker.start()

    def reload(self) -> None:
        """Read the certificates again; what is open stays open, and what cannot be used changes nothing."""
        if self._certificates is None:
            self.log.info("there is nothing to read again: no certificates are configured")
        else:
            self._certificates.reload()

    def stopService(self) -> Deferred[None]:
        """Drain; fires when the process may exit, within `drain_timeout_seconds`."""
        super().stopService()
        self._sockets.stopping = True
        draining: Deferred[None] = Deferred.fromCoroutine(self._drain())
        draining.addErrback(lambda failure: self.log.failure("the drain failed", failure))
        return draining

    def _listening(self, port: IListeningPort) -> None:
        self._ports.append(port)
        write_eagerly(port)
        address: Any = port.getHost()
        # Endpoints fire in their order, and those with TLS come last.
        scheme = "https" if len(self._ports) > len(self._endpoints) - len(self._settings.listen_tls) else "http"
        where = f"{scheme}://{address.host}:{address.port}/" if hasattr(address, "port") else str(address)
        self.log.info("wsrelay listening on {where} with the {broker} broker", where=where, broker=self._broker.name)

    async def _drain(self) -> None:
        deadline = self._clock.seconds() + self._settings.drain_timeout_seconds
        for port in self._ports:
            await _maybe(port.stopListening())
        sockets = list(self._sockets.sockets)
        self.log.info("draining {count} connections", count=len(sockets))
        for socket in list(self._sockets.waiting):
            socket.close(Disconnect.RESTART)
        window = self._settings.drain_timeout_seconds * FAREWELL_SHARE
        delays = drain_delays(len(sockets), window, FAREWELLS_PER_SECOND, self._rng)
        for delay, socket in zip(delays, sockets, strict=True):
            if delay:
                self._clock.callLater(delay, socket.close, Disconnect.RESTART)
            else:
                socket.close(Disconnect.RESTART)
        # Half a second is left for what comes after: aborts, and the broker.
        calls_until = min(deadline - 0.5, self._clock.seconds() + CALLS_SECONDS)
        while (self._sockets.sockets and self._clock.seconds() < deadline - 0.5) or (
            self._door.http_connections and self._clock.seconds() < calls_until
        ):
            await deferLater(self._clock, _LOOK_AGAIN_SECONDS)
        if left := list(self._sockets.sockets):
            self.log.info("{count} connections did not leave in time", count=len(left))
            for socket in left:
                socket.transport.abortConnection()
        await self._broker.stop()
        await self._auth.stop()
        if self._certificates is not None:
            self._certificates.stop()
        self._node.stop()
        self._lag.stop()


async def _maybe(result: Any) -> None:
    """Await what may be a Deferred or already done."""
    if isinstance(result, Deferred):
        await result
