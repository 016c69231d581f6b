"""One process of the relay: the order in which things start and stop.

Starting: listen first, then connect to Redis, because a platform waits for the port and not for Redis. Stopping, on
SIGTERM or SIGINT: not ready, a delay for load balancers to notice that (none by default), stop listening, close every
connection, wait for the clients, abort those who stay, and disconnect from Redis last, so that messages flow until the
end. All of it within the drain timeout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from random import Random
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsrelay.app.build import DEFAULT_MAX_CONNECTIONS, build_relay
from wsrelay.app.health import Workers
from wsrelay.config import Settings
from wsrelay.core.flow.drain_schedule import drain_delays
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.interfaces import IBroker
from wsrelay.transports.listening.accepting import accept_cheaply
from wsrelay.transports.listening.eager_tcp import write_eagerly
from wsrelay.transports.listening.tls import ReloadingTLS, is_under_tls

__all__ = ["RelayService", "listen_error"]

CLOSES_PER_SECOND = 500.0
"""How many clients a second may reconnect to the other processes without overloading them."""

DRAIN_SPREAD = 0.6
"""The part of the time left to drain over which closes are spread; the rest is for the last clients to leave."""

REQUEST_SECONDS = 3.0
"""How long HTTP requests that are under way may take to end; among them are connections that send nothing."""

HANDSHAKE_SECONDS = 1.0
"""How long handshakes may take that are under way when listening stops, before they are rejected with 503."""

_POLL_SECONDS = 0.05


class RelayService(Service):
    """One process of the relay.

    Args:
        settings: The operator's decisions.
        broker: Carries publications between processes.
        endpoints: Where to listen.
        clock: The reactor.
        rng: Randomness for jitter.
        max_connections: How many connections there may be where the settings do not say.
        certificates: The certificates of endpoints with TLS. If None, there are none.
        now: The wall clock, in seconds since the epoch. If None, the reactor's clock is one.
        workers: All workers, where this process is one of several. If None, it is the only one.

    Attributes:
        relay: The objects of the process.
        reloads: What else `reload` calls, in this order; see `wsrelay.app.reloading`.

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
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        certificates: ReloadingTLS | None = None,
        now: Callable[[], float] | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._certificates = certificates
        self._clock = clock
        self._rng = rng
        self.relay = build_relay(
            settings,
            broker,
            clock,
            rng,
            max_connections=max_connections,
            certificate_expiry=lambda: 0.0 if certificates is None else certificates.expires,
            now=now,
            workers=workers,
        )
        self._ports: list[IListeningPort] = []
        self.reloads: list[Callable[[], None]] = []

    def privilegedStartService(self) -> None:
        """Listen; ports below 1024 need the privileges that twistd is about to give up.

        Raises:
            ConfigError: The address is taken or not ours, or cannot be used for another reason. Nothing listens then.
        """
        failures: list[Failure] = []
        for endpoint in self._endpoints:
            scheme = "https" if is_under_tls(endpoint) else "http"
            listening = endpoint.listen(self.relay.router)
            listening.addCallbacks(self._listening, failures.append, callbackArgs=(scheme,))
        if failures:
            ports, self._ports = self._ports, []
            for port in ports:
                # The reactor may never run, in which nearly all ports close: the process ends, and that closes them. A
                # unix socket has removed its files by now.
                Deferred.fromCoroutine(self._stop_listening(port))
            raise ConfigError(listen_error(failures[0].value))

    def startService(self) -> None:
        """Connect to the broker."""
        super().startService()
        settings, authentication = self.relay.settings, self.relay.authentication
        self._log_broker(settings)
        if settings.requires_authentication and not (authentication.can_authenticate or settings.uses_redis):
            self.log.warn(
                "some channels need a credential, and clients cannot get one: set token_keys, token_jwks_url, "
                "hook_url, or api_keys to create tickets"
            )
        if authentication.accepts_tokens and not settings.requires_authentication:
            self.log.warn(
                "tokens are configured, but every channel is public: set access, or let namespaces require a credential"
            )
        if any(namespace.events for namespace in settings.namespaces) and self.relay.broker.events is None:
            self.log.warn(
                "events are kept nowhere without Redis: set REDIS_URL, or take events = true out of the namespaces"
            )
        self.relay.lag.start()
        if settings.io_uring:
            self.relay.bulk.start()
        authentication.start()
        if self._certificates is not None:
            self._certificates.start()
        self.relay.node.switch.start()
        self.relay.broker.start()

    def _log_broker(self, settings: Settings) -> None:
        """Log which Redis is used, or that none is where one may have been meant, as with a forgotten add-on."""
        if settings.uses_redis:
            # Its text has no credentials.
            self.log.info("publications travel through Redis at {url}", url=f"{settings.redis_url}")
        elif settings.broker == "auto" and not _is_on_loopback(settings):
            self.log.warn(
                "no redis_url is set: what other programs PUBLISH does not reach the clients of this process{chat}. "
                "Set REDIS_URL, or WSRELAY_BROKER=memory if one process without Redis is meant",
                chat=", and everybody who reaches it may use the chat page" if settings.has_chat_page else "",
            )

    @property
    def addresses(self) -> list[Any]:
        """The addresses of the listening ports, in the order of the endpoints."""
        return [port.getHost() for port in self._ports]

    def readiness(self) -> tuple[int, str]:
        """Return HTTP status and text, as a probe gets them of this process alone."""
        return self.relay.health.own_readiness()

    def reload(self) -> None:
        """Read certificates and secrets again. Connections stay open, and files that cannot be used change nothing."""
        if self._certificates is not None:
            self._certificates.reload()
        for reload in self.reloads:
            reload()

    def stopService(self) -> Deferred[None]:
        """Be not ready at once, go on for `shutdown_delay_seconds`, and drain.

        Returns:
            Fires with None when the process may exit, within `drain_timeout_seconds`.
        """
        super().stopService()
        self.relay.health.is_stopping = True
        draining: Deferred[None] = Deferred.fromCoroutine(self._stop())
        draining.addErrback(lambda failure: self.log.failure("the drain failed", failure))
        return draining

    def _listening(self, port: IListeningPort, scheme: str) -> None:
        self._ports.append(port)
        write_eagerly(port)
        admission = self.relay.websockets.admission
        accept_cheaply(port, self.relay.settings.send_buffer_bytes, lambda: admission.max_connections - admission.count)
        address: Any = port.getHost()
        if isinstance(address, UNIXAddress):
            where = f"unix:{os.fsdecode(address.name or b'')}"
        else:
            where = f"{scheme}://{_host_and_port(address.host, address.port)}/"
        self.log.info(
            "wsrelay listening on {where} with the {broker} broker", where=where, broker=self.relay.broker.name
        )

    async def _stop(self) -> None:
        settings = self.relay.settings
        deadline = self._clock.seconds() + settings.drain_timeout_seconds
        if settings.shutdown_delay_seconds and self._ports:
            self.log.info(
                "stopping: not ready, and connections are accepted for another {seconds:g} s",
                seconds=settings.shutdown_delay_seconds,
            )
            await deferLater(self._clock, settings.shutdown_delay_seconds)
        await self._drain(deadline)

    async def _drain(self, deadline: float) -> None:
        relay = self.relay
        connections = relay.websockets.connections
        relay.disabling.stop()
        for port in self._ports:
            await self._stop_listening(port)
        # Half a second is left for what comes after: aborts, and the broker.
        requests_until = min(deadline - 0.5, self._clock.seconds() + REQUEST_SECONDS)
        # Those that were accepted a moment ago are answered, and then closed like the others.
        handshakes_until = min(deadline - 0.5, self._clock.seconds() + HANDSHAKE_SECONDS)
        while self._clock.seconds() < handshakes_until and (
            connections.handshaking_connections() or len(relay.router.http_connections) + len(relay.router.turns)
        ):
            await deferLater(self._clock, _POLL_SECONDS)
        connections.start_draining()
        window = (deadline - self._clock.seconds()) * DRAIN_SPREAD
        open_connections = connections.open_connections()
        self.log.info("draining {count} connections", count=len(open_connections))
        connections.reject_handshakes()
        delays = drain_delays(len(open_connections), window, CLOSES_PER_SECOND, self._rng)
        for delay, connection in zip(delays, open_connections, strict=True):
            if delay:
                self._clock.callLater(delay, connection.close, Disconnect.RESTART)
            else:
                connection.close(Disconnect.RESTART)
        while (connections and self._clock.seconds() < deadline - 0.5) or (
            # Handshakes that wait are rejected when it is their turn.
            len(relay.router.http_connections) + len(relay.router.turns) and self._clock.seconds() < requests_until
        ):
            await deferLater(self._clock, _POLL_SECONDS)
        if left := connections.open_connections():
            self.log.info("{count} connections did not close in time", count=len(left))
            for connection in left:
                connection.abort()
        await relay.node.release_members()
        await relay.broker.stop()
        await relay.authentication.stop()
        if self._certificates is not None:
            self._certificates.stop()
        relay.node.stop()
        relay.lag.stop()
        relay.bulk.stop()

    async def _stop_listening(self, port: IListeningPort) -> None:
        try:
            result = port.stopListening()
            if isinstance(result, Deferred):
                await result
        except Exception:  # noqa: BLE001 -- ports may be plugins', and clients are to be closed in any case
            self.log.failure("a port cannot be closed before the process ends")


def _is_on_loopback(settings: Settings) -> bool:
    """Return whether only programs on this machine reach the relay, as far as the settings say."""
    if settings.listen or settings.listen_tls:
        return False
    try:
        return ip_address((settings.host or "").strip("[]")).is_loopback
    except ValueError:
        return settings.host == "localhost"


def listen_error(error: BaseException | None) -> str:
    """Return one line about an endpoint that cannot be used. Endpoints, which may be plugins, fail with anything."""
    if not isinstance(error, CannotListenError):
        return f"cannot listen: {error}"
    where: Any = error.port
    reason = getattr(error.socketError, "strerror", None) or error.socketError
    # The port of a unix socket is its path.
    named = _host_and_port(error.interface or "*", where) if isinstance(where, int) else os.fsdecode(where)
    return f"cannot listen on {named}: {reason}"


def _host_and_port(host: str, port: int) -> str:
    """Return an address as in a URL, where that of IPv6 is in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
