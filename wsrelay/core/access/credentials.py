"""What a client shows to be let in, and where in a handshake it stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum

from wsrelay.core.access.secret import Secret
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError
from wsrelay.core.wire.handshake import MAX_PARAMETERS, Handshake

__all__ = [
    "MAX_CREDENTIAL_BYTES",
    "SUBPROTOCOL_PREFIX",
    "Credential",
    "CredentialKind",
    "check_credential",
    "find_credential",
    "read_credential",
]

MAX_CREDENTIAL_BYTES = 8192

SUBPROTOCOL_PREFIX = "wsrelay."
"""What the items of Sec-WebSocket-Protocol that carry a credential begin with; none of them is ever answered."""


class CredentialKind(Enum):
    """What sort of credential.

    Attributes:
        TOKEN: Says itself who the client is, signed by somebody who is trusted (RFC 7519).
        TICKET: Means nothing but that somebody has it, once.
    """

    TOKEN = "token"  # noqa: S105 -- the word itself
    TICKET = "ticket"


# A token is three base64url parts (RFC 7515 section 3.1); a ticket is whatever random text the application takes, as
# long as it cannot be guessed and needs no quoting in a URL, a header field or a key of Redis.
_FORMS = {
    CredentialKind.TOKEN: re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    CredentialKind.TICKET: re.compile(r"[A-Za-z0-9._~-]{16,128}"),
}
_SCHEMES = {"bearer": CredentialKind.TOKEN, "ticket": CredentialKind.TICKET}


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client showed.

    Attributes:
        kind: What sort it is.
        secret: The token or ticket itself, inside its grammar.
        is_ambient: Whether the browser sent it by itself, as it does with cookies: any page can make it do so, which is
            why such a one needs an Origin that is allowed.
    """

    kind: CredentialKind
    secret: Secret
    is_ambient: bool = False


def check_credential(kind: CredentialKind, text: str) -> Credential:
    """A credential of this kind.

    Raises:
        DeniedError: The text is outside the kind's grammar.
    """
    if not _is_within_grammar(kind, text):
        raise RejectedError(ClientError.TICKET if kind is CredentialKind.TICKET else ClientError.TOKEN)
    return Credential(kind, Secret(text))


def find_credential(handshake: Handshake, cookie: str | None = None, *, with_bearer: bool = True) -> Credential | None:
    """The credential in a handshake, or None.

    Args:
        handshake: The client's opening request.
        cookie: The name of the cookie that may hold a token. None: no cookie does.
        with_bearer: Whether a token in the Authorization field is for the relay, and not for a proxy in front of it.

    Raises:
        DeniedError: There is more than one, here or promised, or the one is outside its grammar.
    """
    found: list[tuple[CredentialKind, str]] = []
    scheme, _, text = handshake.authorization.partition(" ")
    kind = _SCHEMES.get(scheme.lower())
    if kind is CredentialKind.TICKET or (kind is CredentialKind.TOKEN and with_bearer):
        found.append((kind, text.strip()))
    for item in handshake.subprotocols:
        for carried in CredentialKind:
            if item.startswith(f"{SUBPROTOCOL_PREFIX}{carried.value}."):
                found.append((carried, item.removeprefix(f"{SUBPROTOCOL_PREFIX}{carried.value}.")))
    found += [(CredentialKind.TICKET, text) for text in handshake.parameters("ticket")]
    if handshake.query.count("&") >= MAX_PARAMETERS or handshake.parameters("auth") not in ([], ["message"]):
        # Whoever promises something else, or where nobody looks, may send a credential that would go to everybody.
        raise RejectedError(ClientError.MALFORMED)
    if len(found) + handshake.promises_credential > 1:
        # Of one here and one to come as the first message the second would be published, if this one is good.
        raise RejectedError(ClientError.AMBIGUOUS)
    if found:
        # What the client says on purpose goes before what its browser adds.
        return check_credential(*found[0])
    if cookie is not None and not handshake.promises_credential:
        values = handshake.cookies(cookie)
        if len(values) > 1:
            # A neighbour's subdomain can plant a second one of the same name (RFC 6265 section 8.6).
            raise RejectedError(ClientError.AMBIGUOUS)
        # One that is no token is none: a browser cannot help sending what it has, and what is public stays so.
        if values and _is_within_grammar(CredentialKind.TOKEN, values[0]):
            return Credential(CredentialKind.TOKEN, Secret(values[0]), is_ambient=True)
    return None


def read_credential(message: bytes) -> Credential:
    """The credential in a first message: ``{"token": "..."}`` or ``{"ticket": "..."}``.

    Raises:
        DeniedError: It is something else.
    """
    if len(message) > MAX_CREDENTIAL_BYTES + 64:
        raise RejectedError(ClientError.MALFORMED)
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        raise RejectedError(ClientError.MALFORMED) from None
    kinds = {kind.value: kind for kind in CredentialKind}
    if not isinstance(document, dict) or len(document) != 1:
        raise RejectedError(ClientError.MALFORMED)
    ((name, text),) = document.items()
    if name not in kinds or not isinstance(text, str):
        raise RejectedError(ClientError.MALFORMED)
    return check_credential(kinds[name], text)


def _is_within_grammar(kind: CredentialKind, text: str) -> bool:
    return len(text) <= MAX_CREDENTIAL_BYTES and _FORMS[kind].fullmatch(text) is not None
