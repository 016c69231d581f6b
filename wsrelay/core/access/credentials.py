"""Credentials of clients: their grammar, and their places in a handshake and in a first message."""

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
    "read_token_or_ticket",
    "sends_ticket",
]

MAX_CREDENTIAL_BYTES = 8192
"""The longest token or ticket."""

SUBPROTOCOL_PREFIX = "wsrelay."
"""The prefix of items of Sec-WebSocket-Protocol that carry a credential. The relay never answers with one of them."""


class CredentialKind(Enum):
    """The kind of a credential.

    Attributes:
        TOKEN: A signed statement about the client by a trusted issuer (RFC 7519).
        TICKET: A random text, good for one connection. The statement about the client is in the store.
    """

    TOKEN = "token"  # noqa: S105 -- the word itself
    TICKET = "ticket"


# A token is three base64url parts (RFC 7515 section 3.1). A ticket is any random text of the application that cannot be
# guessed and needs no quoting in a URL, a header field or a Redis key.
_GRAMMARS = {
    CredentialKind.TOKEN: re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    CredentialKind.TICKET: re.compile(r"[A-Za-z0-9._~-]{16,128}"),
}
_SCHEMES = {"bearer": CredentialKind.TOKEN, "ticket": CredentialKind.TICKET}


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential that a client sent.

    Attributes:
        kind: Its kind.
        secret: The token or ticket itself, inside its grammar.
        is_ambient: Whether the browser added it by itself, as it does with cookies. Any page can make a browser do so:
            an ambient credential needs an allowed Origin.
    """

    kind: CredentialKind
    secret: Secret
    is_ambient: bool = False


def check_credential(kind: CredentialKind, text: str) -> Credential:
    """Make a credential of a text.

    Raises:
        RejectedError: The text is outside the kind's grammar.
    """
    if not _is_within_grammar(kind, text):
        raise RejectedError(ClientError.TICKET if kind is CredentialKind.TICKET else ClientError.TOKEN)
    return Credential(kind, Secret(text))


def read_token_or_ticket(text: str) -> Credential:
    """Make a credential of a text that may be either: a token has three parts, and anything else is a ticket.

    Raises:
        RejectedError: It is neither; with `ClientError.TOKEN`, because with a new one of the same form it would be no
            better.
    """
    try:
        return check_credential(CredentialKind.TOKEN if text.count(".") == 2 else CredentialKind.TICKET, text)
    except RejectedError:
        raise RejectedError(ClientError.TOKEN) from None


def find_credential(handshake: Handshake, cookie: str | None = None, *, with_bearer: bool = True) -> Credential | None:
    """Find the credential in a handshake.

    Args:
        handshake: The client's opening request.
        cookie: The name of the cookie that may hold a token. If None, cookies are ignored.
        with_bearer: Whether a token in the Authorization field is for the relay. If False, it is for a proxy in front.

    Returns:
        The credential. None if there is none.

    Raises:
        RejectedError: There are several, counting one that the client promised for its first message; or the only one
            is outside its grammar; or the query is too long to search, or has an unknown `auth` value.
    """
    if not (handshake.query or handshake.authorization or handshake.subprotocols or (cookie and handshake.cookie)):
        return None
    found: list[tuple[CredentialKind, str]] = []
    scheme, _, text = handshake.authorization.partition(" ")
    kind = _SCHEMES.get(scheme.lower())
    if kind is CredentialKind.TICKET or (kind is CredentialKind.TOKEN and with_bearer):
        found.append((kind, text.strip()))
    for item in handshake.subprotocols:
        for carried in CredentialKind:
            prefix = f"{SUBPROTOCOL_PREFIX}{carried.value}."
            if item.startswith(prefix):
                found.append((carried, item.removeprefix(prefix)))
    found += [(CredentialKind.TICKET, text) for text in handshake.parameters("ticket")]
    if handshake.query.count("&") >= MAX_PARAMETERS or handshake.parameters("auth") not in ([], ["message"]):
        # Reject any other `auth` value, and queries too long to search: the client would send its credential as a
        # message, and we would publish it.
        raise RejectedError(ClientError.MALFORMED)
    if len(found) + handshake.promises_credential > 1:
        # If this one is accepted, the one that the client sends as its first message would be published.
        raise RejectedError(ClientError.AMBIGUOUS)
    if found:
        # A credential that the client chose to send goes before one that its browser added.
        return check_credential(*found[0])
    if cookie is not None and not handshake.promises_credential:
        # A value that is not a token is ignored: the browser sends its cookies anyway, and public channels stay public.
        tokens = {text for text in handshake.cookies(cookie) if _is_within_grammar(CredentialKind.TOKEN, text)}
        if len(tokens) > 1:
            # A page on a sibling subdomain can plant a second one of the same name (RFC 6265 section 8.6).
            raise RejectedError(ClientError.AMBIGUOUS)
        if tokens:
            return Credential(CredentialKind.TOKEN, Secret(tokens.pop()), is_ambient=True)
    return None


def sends_ticket(handshake: Handshake) -> bool:
    """Return whether the request of a client that has been accepted holds a ticket, which is spent by that."""
    scheme = handshake.authorization.partition(" ")[0].lower()
    return _SCHEMES.get(scheme) is CredentialKind.TICKET or bool(handshake.parameters("ticket"))


def read_credential(message: bytes) -> Credential:
    """Read the credential in a first message: ``{"token": "..."}`` or ``{"ticket": "..."}``.

    Raises:
        RejectedError: The message has another form, or the credential is outside its grammar.
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
    return len(text) <= MAX_CREDENTIAL_BYTES and _GRAMMARS[kind].fullmatch(text) is not None
