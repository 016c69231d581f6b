"""Tests of `wsrelay.interfaces`: everything that claims a seam keeps its whole promise."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.verify import verifyClass, verifyObject

from wsrelay import interfaces
from wsrelay.brokers.memory.broker import MemoryBroker
from wsrelay.brokers.redis.broker import RedisBroker
from wsrelay.brokers.redis.endpoint import redis_endpoint
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.dialects import DIALECTS
from wsrelay.dialects.raw import RawDialect
from wsrelay.engine.node import Node
from wsrelay.interfaces import IBroker, IBrokerSink, IDialect
from wsrelay.testing.authenticators import AnonymousAuthenticator
from wsrelay.testing.brokers import FakeBroker, RecordingSink


def redis_broker() -> RedisBroker:
    """A Redis broker that was never started."""
    reactor: Any = MemoryReactorClock()
    url = RedisURL.parse("redis://localhost")
    return RedisBroker(redis_endpoint(reactor, url), url, "wsrelay:", reactor, Random(1))


class SeamTests(SynchronousTestCase):
    """Implementations and their doubles."""

    def test_brokers(self) -> None:
        """Both brokers and their double have every method and attribute of a broker."""
        for broker in (MemoryBroker(Clock()), FakeBroker(), redis_broker()):
            verifyObject(IBroker, broker)
            verifyClass(IBroker, type(broker), tentative=True)

    def test_broker_attributes(self) -> None:
        """A broker that is not started is not ready, and says why in one line."""
        for broker in (MemoryBroker(Clock()), redis_broker()):
            self.assertFalse(broker.ready)
            self.assertRegex(broker.problem, r"\A[^\n]+\Z")
            self.assertRegex(broker.name, r"\A[a-z]+\Z")

    def test_sinks(self) -> None:
        """The node and the double of it have every method of a sink."""
        for sink in (Node(FakeBroker(), Namespaces([]), Clock(), AnonymousAuthenticator()), RecordingSink()):
            verifyObject(IBrokerSink, sink)

    def test_dialects(self) -> None:
        """Every dialect in the table has every method and attribute of a dialect."""
        for dialect in (*DIALECTS.values(), RawDialect()):
            verifyObject(IDialect, dialect)

    def test_documented(self) -> None:
        """Every seam, method and attribute says what it is for."""
        for name in interfaces.__all__:
            seam = getattr(interfaces, name)
            self.assertTrue(issubclass(type(seam), type(Interface)))
            for member in seam.namesAndDescriptions():
                self.assertTrue(member[1].getDoc(), f"{name}.{member[0]}")
            self.assertTrue(seam.getDoc(), name)
