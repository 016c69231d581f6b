"""The members of a channel, for pages that show who is there.

::

    GET /presence/<channel>           {"clients": 2, "users": 1, "members": [{"client": "5f0c...", "user": "42"}, ...]}
    GET /presence/<channel>?counts    {"clients": 2, "users": 1}

Only of channels whose namespace has `presence`, and only for clients that may subscribe to the channel. They show what
a subscription needs: an Origin, and a token. A ticket is for the subscription itself, and is spent by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from wsrelay.core.access.credentials import Credential, CredentialKind
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.permissions import check_read_presence
from wsrelay.core.flow.ttl import ExpiringCache
from wsrelay.core.messaging.commands import Subscribe
from wsrelay.core.messaging.namespaces import Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.presence.member import count_users
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects import RAW
from wsrelay.engine.rejection_log import RejectionLog
from wsrelay.engine.shared_reads import SharedReads
from wsrelay.interfaces import IAuthenticator, ICredentialStore, IPresence
from wsrelay.web.api.call import APICall, APIError, APIResponse
from wsrelay.web.handshake_check import HandshakeCheck
from wsrelay.web.plain_handshake import plain_handshake

__all__ = ["CACHE_SECONDS", "PresenceResource"]

CACHE_SECONDS = 1.0
"""How long an answer is given to everybody who asks: what a crowd asks for is looked up once a second."""

MAX_CACHED = 100
"""How many answers are kept."""


class PresenceResource(Resource):
    """The branch of the resource tree below ``/presence``.

    Args:
        presence: Keeps the members of channels.
        namespaces: The rules about channels.
        authenticator: Authenticates clients.
        credentials: Keeps what has been revoked.
        check: Finds the reasons for rejection that are known without asking anybody.
        rejections: Records rejected clients.
        trusted_proxies: How many proxies in front of the relay append to X-Forwarded-For.
        clock: Time.
        now: The wall clock, in seconds since the epoch, by which credentials expire.
    """

    def __init__(
        self,
        presence: IPresence,
        namespaces: Namespaces,
        authenticator: IAuthenticator,
        credentials: ICredentialStore,
        check: HandshakeCheck,
        rejections: RejectionLog,
        trusted_proxies: int,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        super().__init__()
        self._presence = presence
        self._namespaces = namespaces
        self._authenticator = authenticator
        self._credentials = credentials
        self._check = check
        self._rejections = rejections
        self._trusted_proxies = trusted_proxies
        self._clock = clock
        self._now = now
        self._reads = SharedReads()
        self._cache: ExpiringCache[tuple[str, bool], dict[str, Any]] = ExpiringCache(MAX_CACHED, CACHE_SECONDS)

    def getChild(self, _name: bytes, _request: Request) -> Resource:
        """Return the resource of a channel."""
        return APICall(self._respond, self._clock)

    def render(self, request: Request) -> int:
        """Respond to a request to the branch itself, where no channel is."""
        return APICall(self._respond, self._clock).render(request)

    async def _respond(self, request: Request) -> APIResponse:
        if request.method not in (b"GET", b"HEAD"):
            raise APIError(405, "Only GET and HEAD are supported here.", (("Allow", "GET, HEAD"),))
        path = request.uri.partition(b"?")[0].decode("latin-1")
        handshake = plain_handshake(request, self._trusted_proxies, RAW.path + path.removeprefix("/presence/"))
        if (response := self._check.find_error(handshake)) is not None:
            raise APIError(response.status, response.text, response.headers)
        if request.requestHeaders.hasHeader("origin"):
            # Its origin may subscribe. Pages of other origins are told by the browser that they may read nothing.
            request.setHeader("access-control-allow-origin", handshake.origin or "")
            request.setHeader("access-control-allow-credentials", "true")
            request.setHeader("vary", "origin")
        # As the check has read it.
        channel = next(each.channel for each in RAW.dialect.open(handshake) if isinstance(each, Subscribe))
        rule = self._namespaces.rule(channel)
        if rule is None or not rule.presence:
            raise APIError(404, "Nobody is told who is on this channel: its namespace has no presence.")
        try:
            await self._authorize(handshake, channel)
        except RejectedError as error:
            self._rejections.record(error.client_error, handshake)
            raise
        return 200, await self._look_up(channel, only_counts=bool(handshake.parameters("counts")))

    async def _authorize(self, handshake: Handshake, channel: str) -> None:
        """Check that the client may ask who is on the channel.

        Raises:
            RejectedError: It may not.
            APIError: It shows a ticket.
            BrokerUnavailable: It cannot be looked up whether it has been revoked.
        """
        credential = self._authenticator.find(handshake)
        identity = ANONYMOUS
        if credential is not None or self._authenticator.requires_authentication(handshake):
            identity = await self._identify(credential, handshake, channel)
        if (error := check_read_presence(self._namespaces, identity, channel)) is not None:
            raise RejectedError(error)

    async def _identify(self, credential: Credential | None, handshake: Handshake, channel: str) -> Identity:
        if credential is not None and credential.kind is CredentialKind.TICKET:
            raise APIError(400, "A ticket is valid once, for the subscription: show a token here, or ask the API.")
        identity = await self._authenticator.authenticate(credential, handshake, (channel,), lambda _identity: None)
        if identity.is_authenticated:
            targets = identity.revocation_targets(handshake.connection)
            if any(await self._credentials.are_revoked(targets)):
                raise RejectedError(ClientError.REVOKED)
        if identity.expires is not None and identity.expires <= self._now():
            raise RejectedError(ClientError.TOKEN_EXPIRED)
        return identity

    async def _look_up(self, channel: str, *, only_counts: bool) -> dict[str, Any]:
        key = channel, only_counts
        found = self._cache.get(key, self._clock.seconds())
        if found is None:
            read = self._read_counts if only_counts else self._read_members
            found = await self._reads.get(key, lambda: Deferred.fromCoroutine(read(channel)))
            self._cache.put(key, found, self._clock.seconds())
        return found

    async def _read_counts(self, channel: str) -> dict[str, Any]:
        clients, users = await self._presence.presence_stats(channel)
        return {"clients": clients, "users": users}

    async def _read_members(self, channel: str) -> dict[str, Any]:
        found = await self._presence.presence(channel)
        members = [{"client": each.client, "user": each.user} for each in found.members]
        if found.is_truncated:
            return {**await self._read_counts(channel), "members": members, "truncated": True}
        return {"clients": found.clients, "users": count_users(found.members), "members": members}
