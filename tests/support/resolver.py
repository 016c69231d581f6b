"""A resolver of host names that asks no server."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.trial.unittest import TestCase
from zope.interface import implementer

__all__ = ["resolve_to_loopback"]


@implementer(IHostnameResolver)
class _LoopbackResolver:
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def resolveHostName(  # noqa: N802 -- Twisted's name
        self,
        resolutionReceiver: Any,  # noqa: N803 -- Twisted's name
        hostName: str,  # noqa: N803 -- Twisted's name
        portNumber: int = 0,  # noqa: N803 -- Twisted's name
        *_: Any,
        **__: Any,
    ) -> Any:
        resolutionReceiver.resolutionBegan(None)
        if hostName in self._names:
            resolutionReceiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        resolutionReceiver.resolutionComplete()


def resolve_to_loopback(test: TestCase, *names: str) -> None:
    """Let names resolve to 127.0.0.1, and no others, until the end of a test."""
    plugins: Any = reactor
    test.addCleanup(plugins.installNameResolver, plugins.installNameResolver(_LoopbackResolver(names)))
