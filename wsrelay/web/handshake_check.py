"""The answer that a WebSocket handshake would get, for those that cannot see it.

Browsers report a rejected handshake to a page's script as code 1006 and hide status and text (WHATWG WebSockets,
section 4, "Feedback from the protocol"). A plain GET of the same address gets what this check finds, so that a page, a
developer and curl can read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wsrelay.core.access.identity import ANONYMOUS
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.access.permissions import check_channel_exists, check_subscribe
from wsrelay.core.messaging.commands import Subscribe
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import HTTPError, RejectedError
from wsrelay.core.wire.handshake import Handshake
from wsrelay.core.wire.http_response import ErrorResponse
from wsrelay.dialects import Route, find_route
from wsrelay.interfaces import IAuthenticator

__all__ = ["HandshakeCheck"]


class HandshakeCheck:
    """Finds the reasons for rejection that are known without asking anybody and without spending anything.

    Args:
        routes: The dialects that are spoken, and where.
        origins: Decides which origins may connect.
        namespaces: Which channels exist, and for whom.
        authenticator: Finds credentials. It is not asked to check one: that would spend a ticket.
        is_available: Returns whether the broker works now.
        refusal: Returns the response to all handshakes while websockets are off. If that is None, they are on.

    Attributes:
        refusal: See above.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        origins: OriginPolicy,
        namespaces: Namespaces,
        authenticator: IAuthenticator,
        is_available: Callable[[], bool],
        refusal: Callable[[], ErrorResponse | None],
    ) -> None:
        self._routes = routes
        self._origins = origins
        self._namespaces = namespaces
        self._authenticator = authenticator
        self._is_available = is_available
        self.refusal = refusal

    def find_error(self, handshake: Handshake) -> ErrorResponse | None:
        """Find the response to a handshake that would be rejected.

        Returns:
            The response. None if the handshake would be accepted, or if that depends on a credential, on the
            application or on the load.
        """
        route = find_route(self._routes, handshake.path, handshake.subprotocols, handshake.query)
        if route is None:
            return None
        if (rejection := self.check_origin(handshake)) is not None:
            return rejection
        if (refusal := self.refusal()) is not None:
            return refusal
        try:
            commands = route.dialect.open(handshake)
            credential = self._authenticator.find(handshake)
        except HTTPError as problem:
            return problem.response
        except RejectedError as problem:
            return problem.client_error.response
        is_anonymous = (
            credential is None
            and not handshake.promises_credential
            and not self._authenticator.requires_authentication(handshake)
        )
        for command in commands:
            if isinstance(command, Subscribe) and (
                error := self._check_channel(command.channel, is_anonymous=is_anonymous)
            ):
                return error.response
        return None if self._is_available() else ClientError.NOT_AVAILABLE.response

    def check_origin(self, handshake: Handshake) -> ErrorResponse | None:
        """Find the response to a handshake whose origin may not connect; None if it may."""
        error = self._origins.check(handshake)
        return None if error is None else error.response

    def _check_channel(self, channel: str, *, is_anonymous: bool) -> ClientError | None:
        if is_anonymous:
            return check_subscribe(self._namespaces, ANONYMOUS, channel)
        return check_channel_exists(self._namespaces, channel)
