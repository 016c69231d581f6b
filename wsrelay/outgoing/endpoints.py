"""Connections to hosts by their names."""

from __future__ import annotations

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from wsrelay.core.wire.host_name import ascii_host_name

__all__ = ["HTTPEndpoints", "NamedHostEndpoint"]


class NamedHostEndpoint(HostnameEndpoint):
    """Connects to any host that the resolver has addresses of.

    Twisted's own class checks names by IDNA first, and fails for ever where the resolver would have answered: for the
    ``redis_cache`` of a network of containers.
    """

    @staticmethod
    def _hostAsBytesAndText(host: bytes | str) -> tuple[bool, bytes, str]:  # noqa: N802 -- Twisted's name
        text = host if isinstance(host, str) else host.decode("ascii", "backslashreplace")
        try:
            name = ascii_host_name(text)
        except ValueError:
            return True, text.encode("ascii", "backslashreplace"), text
        return False, name.encode("ascii"), name


@implementer(IAgentEndpointFactory)
class HTTPEndpoints:
    """Makes the endpoints of an `Agent`: TCP for http, TLS for https.

    Args:
        reactor: Makes the connections.
        policy: Makes the TLS side of https connections.
    """

    def __init__(self, reactor: object, policy: IPolicyForHTTPS) -> None:
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802 -- Twisted's name
        """See `IAgentEndpointFactory.endpointForURI`. The scheme is http or https."""
        endpoint = NamedHostEndpoint(self._reactor, uri.host, uri.port)
        if uri.scheme == b"http":
            return endpoint
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
