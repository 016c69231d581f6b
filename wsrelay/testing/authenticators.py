"""Authentication where none is configured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from wsrelay.core.access.credentials import Credential
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.wire.handshake import Handshake
from wsrelay.interfaces import IAuthenticator

__all__ = ["AnonymousAuthenticator"]


@implementer(IAuthenticator)
class AnonymousAuthenticator:
    """Where nobody is anybody in particular."""

    def find(self, _handshake: Handshake) -> None:
        """See `IAuthenticator.find`."""

    def requires_authentication(self, _handshake: Handshake) -> bool:
        """See `IAuthenticator.requires_authentication`."""
        return False

    def authenticate(
        self,
        _credential: Credential | None,
        _handshake: Handshake,
        _channels: Sequence[str],
        _met: Callable[[Identity], None],
    ) -> Deferred[Identity]:
        """See `IAuthenticator.authenticate`."""
        return succeed(ANONYMOUS)

    def clear_cache(self) -> None:
        """See `IAuthenticator.clear_cache`."""

    def authorize_subscribe(self, _identity: Identity, _channel: str) -> None:
        """See `IAuthenticator.authorize_subscribe`."""

    def authorize_publish(self, _identity: Identity, _channel: str, _payload: bytes) -> None:
        """See `IAuthenticator.authorize_publish`."""
