"""Tests of `wsrelay.interfaces`: everything that implements a seam, the test doubles too, has all of it."""

from __future__ import annotations

import inspect
from functools import partial
from random import Random
from typing import Any

from twisted.internet.interfaces import ITransport
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.verify import verifyClass, verifyObject

from tests.engine.harness import make_node
from wsrelay import interfaces
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.brokers.memory.credential_store import MemoryCredentialStore
from wsrelay.brokers.redis.address import RedisAddress
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.endpoint import redis_endpoint
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.wire.framing import (
    DeflatedWebSocketFraming,
    EventStreamFraming,
    Framing,
    SeveralChannelsFraming,
    WebSocketFraming,
)
from wsrelay.dialects import CENTRIFUGO, RAW, SSE
from wsrelay.engine.client import Client
from wsrelay.engine.client_registry import RegisteredClient
from wsrelay.engine.client_services import Connection
from wsrelay.engine.credential_ends import EndingClient
from wsrelay.engine.pending_credentials import PendingClient
from wsrelay.engine.topic import Subscriber
from wsrelay.interfaces import (
    IAuthenticator,
    IBroker,
    IBrokerSink,
    ICredentialStore,
    IDialect,
    IEventLog,
    IHistory,
    IPresence,
    ISwitch,
)
from wsrelay.testing.authenticators import AnonymousAuthenticator, FakeAuthenticator
from wsrelay.testing.brokers import FakeBroker, RecordingSink
from wsrelay.testing.connections import RecordingConnection
from wsrelay.testing.credential_stores import FakeCredentialStore
from wsrelay.testing.dialects import LineDialect, LineFraming
from wsrelay.testing.event_logs import RecordingEventLog
from wsrelay.testing.subscribers import RecordingSubscriber
from wsrelay.testing.transports import MemoryTransport


def redis_broker() -> RedisBroker:
    """Return a Redis broker that was never started."""
    reactor: Any = MemoryReactorClock()
    url = RedisURL.parse("redis://localhost")
    return RedisBroker(RedisAddress(url, partial(redis_endpoint, reactor)), "wsrelay:", reactor, Random(1))


class InterfaceTests(SynchronousTestCase):
    """Interfaces."""

    def test_brokers_have_every_method_and_attribute(self) -> None:
        for broker in (MemoryBroker(Clock()), FakeBroker(), redis_broker()):
            verifyObject(IBroker, broker)
            verifyClass(IBroker, type(broker), tentative=True)

    def test_broker_that_is_not_started_says_in_one_line_why_it_is_not_ready(self) -> None:
        for broker in (MemoryBroker(Clock()), redis_broker()):
            self.assertFalse(broker.ready)
            self.assertRegex(broker.problem, r"\A[^\n]+\Z")
            self.assertRegex(broker.name, r"\A[a-z]+\Z")

    def test_capabilities_of_brokers_have_every_method(self) -> None:
        for broker in (MemoryBroker(Clock()), FakeBroker(), redis_broker()):
            verifyObject(ICredentialStore, broker.credentials)
            verifyObject(ISwitch, broker.switch)
            history: object = broker.history
            if history is not None:
                verifyObject(IHistory, history)
            if broker.presence is not None:
                verifyObject(IPresence, broker.presence)
            if broker.events is not None:
                verifyObject(IEventLog, broker.events)
        verifyObject(IEventLog, RecordingEventLog())

    def test_sinks_have_every_method(self) -> None:
        for sink in (make_node(FakeBroker(), Namespaces([]), Clock()), RecordingSink()):
            verifyObject(IBrokerSink, sink)

    def test_credential_stores_have_every_method(self) -> None:
        for store in (MemoryCredentialStore(lambda: 0.0), FakeCredentialStore()):
            verifyObject(ICredentialStore, store)

    def test_authenticators_have_every_method(self) -> None:
        for authenticator in (AnonymousAuthenticator(), FakeAuthenticator()):
            verifyObject(IAuthenticator, authenticator)

    def test_dialects_have_every_method_and_attribute(self) -> None:
        for dialect in (RAW.dialect, SSE.dialect, CENTRIFUGO.dialect, LineDialect()):
            verifyObject(IDialect, dialect)

    def test_transports_have_every_method(self) -> None:
        verifyObject(ITransport, MemoryTransport())

    def test_every_interface_method_and_attribute_is_documented(self) -> None:
        for name in interfaces.__all__:
            seam = getattr(interfaces, name)
            self.assertTrue(issubclass(type(seam), type(Interface)))
            for member in seam.namesAndDescriptions():
                self.assertTrue(member[1].getDoc(), f"{name}.{member[0]}")
            self.assertTrue(seam.getDoc(), name)


class ProtocolTests(SynchronousTestCase):
    """Protocols, which the type checker compares as well."""

    def assert_implements(self, protocol: type, implementation: object) -> None:
        """Assert that an object has every member of a protocol, with the same parameters."""
        members = {name for name in vars(protocol) if not name.startswith("_")}
        members |= {name for name in inspect.get_annotations(protocol) if not name.startswith("_")}
        self.assertTrue(members, protocol)
        for name in members:
            self.assertTrue(hasattr(implementation, name), f"{type(implementation).__name__}.{name}")
            declared = inspect.getattr_static(protocol, name, None)
            if inspect.isfunction(declared):
                found = list(inspect.signature(getattr(implementation, name)).parameters)
                self.assertEqual(found, list(inspect.signature(declared).parameters)[1:], name)

    def test_subscribers_and_connections(self) -> None:
        subscriber: Subscriber = RecordingSubscriber()
        connection: Connection = RecordingConnection()
        self.assert_implements(Subscriber, subscriber)
        self.assert_implements(Subscriber, connection)
        self.assert_implements(Connection, connection)

    def test_framings(self) -> None:
        framings: tuple[Framing, ...] = (
            WebSocketFraming(),
            DeflatedWebSocketFraming(),
            EventStreamFraming(),
            SeveralChannelsFraming(),
            LineFraming(),
        )
        for framing in framings:
            self.assert_implements(Framing, framing)
        self.assertEqual(len({framing.name for framing in framings}), len(framings))

    def test_clients(self) -> None:
        client: Client = make_node(FakeBroker(), Namespaces([]), Clock()).client(RecordingConnection())
        registered: RegisteredClient = client
        pending: PendingClient = client
        self.assert_implements(RegisteredClient, registered)
        ending: EndingClient = client
        self.assert_implements(PendingClient, pending)
        self.assert_implements(EndingClient, ending)
