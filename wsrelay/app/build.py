"""The composition root: makes the objects of one process from its settings.

The service, the test kit and the tools build a relay here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import getpid
from random import Random
from socket import gethostname

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource

from wsrelay.app.health import Health, Workers
from wsrelay.auth.build import Authentication
from wsrelay.config import Settings
from wsrelay.config.short_form import CHAT_CHANNEL
from wsrelay.core.access.identity import ANONYMOUS
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.access.permissions import check_publish
from wsrelay.core.flow.admission import Admission
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.dialects import CENTRIFUGO_ROUTES, RAW, SSE, Route
from wsrelay.engine.node import Node
from wsrelay.engine.operations import Operations
from wsrelay.engine.reactor_lag import LagMeter
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.interfaces import IBroker
from wsrelay.metrics.counters import Counters
from wsrelay.transports.disabling import Disabling
from wsrelay.transports.flat_audience import BulkSending
from wsrelay.transports.listening.handshake_turns import HandshakeTurns
from wsrelay.transports.listening.http_connections import MIN_HTTP_CONNECTIONS, HTTPConnections
from wsrelay.transports.listening.request_checks import RequestChecks
from wsrelay.transports.listening.router import ConnectionRouterFactory
from wsrelay.transports.rate_limits import RateLimits
from wsrelay.transports.streams.factory import StreamConnectionFactory
from wsrelay.transports.websocket.factory import WebSocketConnectionFactory
from wsrelay.transports.writer import ConnectionWriter, ConnectionWriters
from wsrelay.web.api.keys import APIKeys
from wsrelay.web.api.relay_api import RelayAPI
from wsrelay.web.chat_page import ChatPage
from wsrelay.web.emulation import EmulationResource
from wsrelay.web.handshake_check import HandshakeCheck
from wsrelay.web.presence import PresenceResource
from wsrelay.web.site import build_site
from wsrelay.web.stream_hint import StreamHint
from wsrelay.web.websocket_hint import WebSocketHint

__all__ = ["DEFAULT_MAX_CONNECTIONS", "Relay", "build_relay"]

DEFAULT_MAX_CONNECTIONS = 10_000

CHAT_PAGE_HISTORY = 50
"""How many of the newest messages a visitor of the chat page gets first."""


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
        disabling: Refuses and drains connections while websockets are disabled; has to be stopped.
        bulk: Sends to many connections at once; has to be started and stopped.
        lag: Measures how late the reactor is; has to be started and stopped.
        health: The state of the process, for probes and metrics.
        counters: What has happened.
        api_keys: The keys of the API. If None, there is no API.
    """

    settings: Settings
    broker: IBroker
    node: Node
    websockets: WebSocketConnectionFactory
    router: ConnectionRouterFactory
    authentication: Authentication
    disabling: Disabling
    bulk: BulkSending
    lag: LagMeter
    health: Health
    counters: Counters
    api_keys: APIKeys | None


def routes(settings: Settings) -> tuple[Route, ...]:
    """Return the routes that the settings switch on."""
    return (RAW, *((SSE,) if settings.sse else ()), *(CENTRIFUGO_ROUTES if settings.centrifugo else ()))


def chat_page(settings: Settings, namespaces: Namespaces) -> ChatPage | None:
    """Return what the chat page shows; None if it is not served."""
    if not settings.has_chat_page:
        return None
    # A cookie that its visitors have from another page is the only credential that this page sends.
    sends_credentials = settings.token_cookie is not None or settings.hook_url is not None
    rule = namespaces.rule(CHAT_CHANNEL)
    return ChatPage(
        CHAT_CHANNEL,
        settings.prefix + CHAT_CHANNEL if settings.uses_redis else None,
        is_read_only=not sends_credentials and check_publish(namespaces, ANONYMOUS, CHAT_CHANNEL) is not None,
        has_api=bool(settings.api_keys),
        max_message_bytes=settings.max_message_bytes,
        history=min(CHAT_PAGE_HISTORY, (rule.history_size if rule else None) or 0),
        is_base64=rule is not None and rule.frames is FrameType.BINARY,
    )


def _emulation(node: Node, check: HandshakeCheck, settings: Settings) -> EmulationResource:
    rate = settings.max_forwarded_per_second
    # Bytes need no bound of their own: a request has one.
    limits = RateLimits(rate, rate, node.timers) if rate else None
    return EmulationResource(node.emulation, check, settings.trusted_proxies, limits)


def _hint(route: Route, check: HandshakeCheck, trusted_proxies: int) -> Resource:
    """Return what responds to requests at the path of a route that are for no WebSocket and no stream."""
    if route.transport == "websocket":
        return WebSocketHint(check, trusted_proxies)
    return StreamHint(check, trusted_proxies, route.methods)


def build_relay(
    settings: Settings,
    broker: IBroker,
    clock: IReactorTime,
    rng: Random,
    *,
    max_connections: int = DEFAULT_MAX_CONNECTIONS,
    certificate_expiry: Callable[[], float] = lambda: 0.0,
    now: Callable[[], float] | None = None,
    workers: Workers | None = None,
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
        workers: All workers, where this process is one of several. If None, it is the only one.

    Raises:
        ConfigError: The keys for tokens, or a URL, cannot be used.
    """
    now = now or clock.seconds
    counters = Counters()
    namespaces = settings.build_namespaces()
    rejections = RejectionLog(counters, clock.seconds, logs_requests=settings.log_level == "debug")
    authentication = Authentication(settings, broker.credentials, clock, rng, counters, rejections.log_detail, now)
    admission = Admission(
        min(settings.max_connections or max_connections, max_connections),
        settings.max_connections_per_address,
        settings.max_handshakes_per_second,
        clock.seconds,
    )
    unready: set[ConnectionWriter] = set()
    bulk = BulkSending(unready)
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
        # Made below, of this node's clients.
        count_connections=lambda: len(websockets.connections),
        name=f"{gethostname()}:{getpid()}",
        make_bulk=bulk.make_bulk,
    )
    writers = ConnectionWriters(settings, node.timers, unready)
    http_connections = HTTPConnections(
        admission.max_connections // 10 + MIN_HTTP_CONNECTIONS, lambda: counters.requests_rejected.update((503,))
    )
    websockets = WebSocketConnectionFactory(
        node.client,
        settings,
        timers=node.timers,
        writers=writers,
        counters=counters,
        rejections=rejections,
        admission=admission,
        http_connections=http_connections,
        clock=clock,
        rng=rng,
    )
    disabling = Disabling(websockets.connections, clock)
    node.switch.on_change = disabling.apply
    turns = HandshakeTurns(
        clock,
        websockets.connections,
        admission,
        counters,
        rejections,
        max_early_bytes=settings.max_head_bytes,
        rng=rng,
    )
    lag = LagMeter(clock)
    streams = StreamConnectionFactory(
        node.client,
        settings,
        timers=node.timers,
        writers=writers,
        counters=counters,
        rejections=rejections,
        admission=admission,
        http_connections=http_connections,
        connections=websockets.connections,
        rate_limits=websockets.rate_limits,
        emulation=node.emulation,
        pings=websockets.pings,
        rng=rng,
    )
    health = Health(broker, node, websockets.connections, turns, counters, lag, certificate_expiry, workers)
    api: RelayAPI | None = None
    api_keys = APIKeys(settings.api_keys) if settings.api_keys else None
    if api_keys is not None:
        api = RelayAPI(Operations(broker, namespaces, now, node.survey, node.inflow), api_keys, rejections, clock)
    spoken = routes(settings)
    origins = OriginPolicy(settings.origins, require=settings.require_origin)
    connections = websockets.connections
    check = HandshakeCheck(
        spoken,
        origins,
        namespaces,
        authentication.authenticator,
        is_available=lambda: broker.ready,
        refusal=lambda: connections.refusal if connections.is_disabled else None,
    )
    presence: PresenceResource | None = None
    if namespaces.has_presence and broker.presence is not None:
        presence = PresenceResource(
            broker.presence,
            namespaces,
            authentication.authenticator,
            broker.credentials,
            check,
            rejections,
            settings.trusted_proxies,
            clock,
            now,
        )
    site = build_site(
        liveness=health.liveness,
        readiness=health.readiness,
        metrics=health.metrics if settings.metrics else None,
        api=api,
        max_body_bytes=settings.api_max_body_bytes if settings.api_keys else 0,
        presence=presence,
        emulation=_emulation(node, check, settings) if settings.centrifugo else None,
        hints={route.path: _hint(route, check, settings.trusted_proxies) for route in spoken},
        chat_page=chat_page(settings, namespaces),
        body_timeout_seconds=settings.handshake_timeout_seconds,
        clock=clock,
    )
    checks = RequestChecks(
        settings,
        routes=spoken,
        websockets=websockets,
        streams=streams,
        admission=admission,
        origins=origins,
        rejections=rejections,
    )
    router = ConnectionRouterFactory(
        websockets,
        streams,
        site,
        settings,
        checks=checks,
        http_connections=http_connections,
        turns=turns,
        counters=counters,
        timers=node.timers,
    )
    return Relay(
        settings,
        broker,
        node,
        websockets,
        router,
        authentication,
        disabling,
        bulk,
        lag,
        health,
        counters,
        api_keys,
    )
