"""Verdicts of the application's answers: which status and which body allow a client what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

from wsrelay.auth.hook_client import InvalidHookResponseError, check_status
from wsrelay.core.access.identity import ANONYMOUS, ApplicationAnswer, Identity, read_identity, reject_unknown_claims
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.outgoing.http_client import HTTPResponse

__all__ = [
    "CONNECT_VERDICTS",
    "PUBLISH_VERDICTS",
    "Verdict",
    "VerdictsByStatus",
    "allowed_identity",
    "merge_identity",
    "read_verdict",
]

Verdict: TypeAlias = Identity | ClientError
"""The identity that the application gives a client that it allows, or why it rejects the client."""

VerdictsByStatus: TypeAlias = Mapping[int, Verdict]
"""Verdicts by status. None of them is 200, which allows with a JSON object in the body, whatever the event."""

CONNECT_VERDICTS: VerdictsByStatus = MappingProxyType(
    {204: ANONYMOUS, 401: ClientError.NO_CREDENTIAL, 403: ClientError.HOOK}
)
"""Statuses that answer the events ``connect`` and ``subscribe`` without a body."""

PUBLISH_VERDICTS: VerdictsByStatus = MappingProxyType(
    {204: ANONYMOUS, 401: ClientError.PUBLISH_DENIED, 403: ClientError.PUBLISH_DENIED}
)
"""Statuses that answer the event ``publish`` without a body."""


def read_verdict(response: HTTPResponse, verdicts: VerdictsByStatus, *, with_identity: bool) -> Verdict:
    """Read the verdict from a response of the application.

    A 200 has to carry a JSON object. Login pages, error pages and half responses come with that status, too, and must
    not allow anything.

    Args:
        response: The response.
        verdicts: Statuses that need no body.
        with_identity: Whether the object says who the client is. If False, that has been established before, and what
            is in the object is ignored.

    Raises:
        FetchError: The application is overloaded, or the response is not an answer.
        ClaimError: The response holds a claim that is unknown or cannot be read.
    """
    if response.status in verdicts:
        return verdicts[response.status]
    if response.status != 200:
        check_status(response.status)
    claims = _decode(response.body)
    if not with_identity:
        return ANONYMOUS
    reject_unknown_claims(claims, ("sub", "channels", "publish", "exp", "info", "b64info", "subs"))
    return read_identity(claims)


def allowed_identity(verdict: Verdict) -> Identity:
    """Return the identity of a verdict that allows a client something.

    Raises:
        RejectedError: The verdict rejects the client.
    """
    if isinstance(verdict, ClientError):
        raise RejectedError(verdict)
    return verdict


def merge_identity(identity: Identity, answer: Identity, address: str = "", connection: str = "") -> Identity:
    """Return a credential's identity, overridden piece by piece by the application's answer.

    The earlier end of both holds.

    Args:
        identity: The credential's identity.
        answer: What the application says.
        address: The address of the client that it was asked about.
        connection: The unique name of that client's connection.
    """
    ends = [each for each in (identity.expires, answer.expires) if each is not None]
    return replace(
        identity,
        subject=identity.subject if answer.subject is None else answer.subject,
        channels=identity.channels if answer.channels is None else answer.channels,
        publish=identity.publish if answer.publish is None else answer.publish,
        expires=min(ends, default=None),
        info=answer.info or identity.info,
        subs=answer.subs or identity.subs,
        # An application that lists channels for a client vouches for it, even if it names no user.
        is_authenticated=identity.is_authenticated or answer.subject is not None or answer.channels is not None,
        answer=ApplicationAnswer(
            answer.expires,
            # A pattern equals no channel.
            (*(each.channel for each in answer.subs), *(answer.channels or ())),
            _credential_subject(identity, answer),
            address,
            connection,
        ),
    )


def _credential_subject(identity: Identity, answer: Identity) -> str | None:
    if not identity.is_authenticated or answer.subject in (None, identity.subject):
        return None
    return identity.subject or ""


def _decode(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidHookResponseError("its answer with status 200 is not a JSON object; 204 allows without one")
    return document
