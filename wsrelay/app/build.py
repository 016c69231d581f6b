"""The composition root: makes the objects of one process from its settings.

The service, the test kit and the tools build a relay here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from twisted.internet.interfaces import IReactorTime

from wsrelay.app.health import Health
from wsrelay.auth.build import Authentication
from wsrelay.config import Settings
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.flow.admission import Admission
from wsrelay.dialects import CENTRIFUGO, RAW, Route
from wsrelay.engine.node import Node
from wsrelay.engine.operations import Operations
from wsrelay.engine.reactor_lag import LagMeter
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.interfaces import IBroker
from wsrelay.metrics.counters import Counters
from wsrelay.transports.listening.router import ConnectionRouterFactory
from wsrelay.transports.websocket.factory import WebSocketConnectionFactory
from wsrelay.web.api.keys import APIKeys
from wsrelay.web.api.relay_api import RelayAPI
from wsrelay.web.site import build_site

__all__ = ["DEFAULT_MAX_CONNECTIONS", "Relay", "build_relay"]

DEFAULT_MAX_CONNECTIONS = 10_000


@dataclass(frozen=True, slots=True)
class Relay:
    """The objects of one process.

    Attributes:
        settings: The operator's decisions.
        broker: Carries publications between processes.
        node: Joins hub, broker and clients.
        websockets: Makes WebSocket connections, and keeps the registry of all connections.
        router: Takes the connections that listening ports accept.
        authentication: Authenticates clients; has to be started and stopped.
        lag: Measures how late the reactor is; has to be started and stopped.
        counters: What has happened.
    """

    settings: Settings
    broker: IBroker
    node: Node
    websockets: WebSocketConnectionFactory
    router: ConnectionRouterFactory
    authentication: Authentication
    lag: LagMeter
    counters: Counters


def routes(settings: Settings) -> tuple[Route, ...]:
    """Return the routes that the settings switch on."""
    return (RAW, CENTRIFUGO) if settings.centrifugo else (RAW,)


def build_relay(
    settings: Settings,
    broker: IBroker,
    clock: IReactorTime,
    rng: Random,
    *,
    max_connections: int = DEFAULT_MAX_CONNECTIONS,
    certificate_expiry: Callable[[], float] = lambda: 0.0,
    now: Callable[[], float] | None = None,
) -> Relay:
    """Build the objects of one process. Nothing is started.

    Args:
        settings: The operator's decisions.
        broker: Carries publications between processes.
        clock: The reactor.
        rng: Randomness for jitter.
        max_connections: How many connections there may be where the settings do not say.
        certificate_expiry: Returns when the first certificate expires, in seconds since the epoch; 0 without TLS.
        now: The wall clock, in seconds since the epoch. If None, the reactor's clock is one.

    Raises:
        ConfigError: The keys for tokens, or a URL, cannot be used.
    """
    now = now or clock.seconds
    counters = Counters()
    namespaces = settings.build_namespaces()
    rejections = RejectionLog(counters, clock.seconds)
    authentication = Authentication(settings, broker.credentials, clock, rng, counters, rejections.log_detail, now)
    admission = Admission(
        min(settings.max_connections or max_connections, max_connections),
        settings.max_connections_per_address,
        settings.max_handshakes_per_second,
        clock.seconds,
    )
    node = Node(
        broker,
        namespaces,
        clock,
        authentication.authenticator,
        rng=rng,
        counters=counters,
        rejections=rejections,
        now=now,
        # Strangers that promise a credential and do not send it get a tenth of the places, and not all of them.
        max_pending_credentials=max(1, admission.max_connections // 10),
    )
    websockets = WebSocketConnectionFactory(
        node.client,
        settings,
        timers=node.timers,
        counters=counters,
        rejections=rejections,
        admission=admission,
        clock=clock,
        rng=rng,
    )
    lag = LagMeter(clock)
    health = Health(broker, node, websockets.connections, counters, lag, certificate_expiry)
    api: RelayAPI | None = None
    if settings.api_keys:
        api = RelayAPI(Operations(broker, namespaces, now), APIKeys(settings.api_keys), rejections, clock)
    site = build_site(
        liveness=health.liveness,
        readiness=health.readiness,
        metrics=health.metrics if settings.metrics else None,
        api=api,
        max_body_bytes=settings.max_message_bytes if settings.api_keys else 0,
        has_chat_page=settings.has_chat_page,
        body_timeout_seconds=settings.handshake_timeout_seconds,
        clock=clock,
    )
    router = ConnectionRouterFactory(
        websockets,
        site,
        settings,
        routes=routes(settings),
        admission=admission,
        counters=counters,
        origins=OriginPolicy(settings.origins, require=settings.require_origin),
        rejections=rejections,
        timers=node.timers,
    )
    return Relay(settings, broker, node, websockets, router, authentication, lag, counters)
