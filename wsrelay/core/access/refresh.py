"""A new token of a client that is connected: what it changes, and for whom."""

from __future__ import annotations

from dataclasses import replace

from wsrelay.core.access.identity import Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import RejectedError

__all__ = ["refresh_identity"]


def refresh_identity(identity: Identity, token: Identity, *, has_hook: bool) -> Identity:
    """Return the identity of a connected client that shows a new token.

    Args:
        identity: Its identity so far.
        token: The identity by the new token.
        has_hook: Whether the application has been asked about the client. Its answer may have limited what the client
            may use, and for how long, and a token must not undo that: it changes nothing but its own end and its
            revocation target then.

    Returns:
        The identity from now on. It subscribes to nothing: `subs` is for clients that connect.

    Raises:
        RejectedError: The token is for another user than the credential with which the client has connected, or names
            one where that named none. Or nothing vouches for the client.
    """
    # A user is the same by the credential. The application, which may have named another, has not seen the new token.
    subject, answer = identity.subject, identity.answer
    if answer.credential_subject is not None:
        subject = answer.credential_subject or None
    if not identity.is_authenticated or token.subject != subject:
        raise RejectedError(ClientError.TOKEN_MISMATCH)
    if not has_hook:
        return replace(token, subs=())
    ends = [each for each in (token.expires, answer.expires) if each is not None]
    return replace(identity, expires=min(ends, default=None), credential_id=token.credential_id, subs=())
