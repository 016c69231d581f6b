"""THE table of denials: why somebody is not let in, or not let do something, and how each is told.

A client that is still knocking gets the HTTP status and the text, one that is in already gets the closing. The text
says what to fix, to a developer who holds the credential; it says nothing about keys, users or other credentials to one
who guesses: whatever is wrong with a credential before its signature is known to be good has one answer.
"""

from __future__ import annotations

from enum import Enum

from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.http_response import ErrorResponse

__all__ = ["ClientError"]

# RFC 9110 section 11.6.1: a 401 says how to do better.
_BEARER = ("WWW-Authenticate", "Bearer")
# RFC 6750 section 3.1.
_INVALID = ("WWW-Authenticate", 'Bearer error="invalid_token"')
_RETRY = ("Retry-After", "5")


class ClientError(Enum):
    """Why not.

    Attributes:
        response: The HTTP answer before the upgrade.
        disconnect: The close after it.
        reason: Its name in metrics and the log.
    """

    response: ErrorResponse
    disconnect: Disconnect

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...], disconnect: Disconnect) -> None:
        self.response = ErrorResponse(status, text, headers)
        self.disconnect = disconnect

    @property
    def reason(self) -> str:
        """Its name in metrics and the log."""
        return self.name.lower()

    # Who knocks?

    ORIGIN = (
        403,
        "Pages of this origin may not connect. Add the origin to the setting origins; if the page and the relay share "
        "their host, let the proxy in between pass the Host field on unchanged.",
        (),
        Disconnect.CREDENTIAL,
    )
    NO_ORIGIN = (
        403,
        "Clients without an Origin field may not connect here: send one that the setting origins allows.",
        (),
        Disconnect.CREDENTIAL,
    )
    AMBIGUOUS = (
        400,
        "There is more than one credential in this handshake: send one ticket, one token or one cookie.",
        (),
        Disconnect.CREDENTIAL,
    )
    MALFORMED = (
        400,
        'The credential is malformed. The first message is {"token": "..."} or {"ticket": "..."}; in a handshake it is '
        "Authorization: Bearer <token>, the subprotocol wsrelay.token.<token> or wsrelay.ticket.<ticket> with wsrelay "
        "beside it, or ?ticket=<ticket>.",
        (),
        Disconnect.CREDENTIAL,
    )
    NO_CREDENTIAL = (
        401,
        "This channel wants a credential: a ticket or a token.",
        (_BEARER,),
        Disconnect.CREDENTIAL,
    )
    TOO_LATE = (
        401,
        "No credential came in time.",
        (_BEARER,),
        Disconnect.CREDENTIAL,
    )
    TOKEN = (
        401,
        "The token is not valid here: its signature, key or algorithm is not one that is accepted, or it is no token.",
        (_INVALID,),
        Disconnect.CREDENTIAL,
    )
    TOKEN_CLAIMS = (
        401,
        "The token is signed, but its claims are not usable: it needs exp, and aud and iss where the relay asks for "
        "them; sub is a text, channels and publish are lists of channel patterns.",
        (_INVALID,),
        Disconnect.CREDENTIAL,
    )
    TOKEN_EXPIRED = (
        401,
        "The token has expired, or is not valid yet: get a new one.",
        (_INVALID,),
        Disconnect.CREDENTIAL_EXPIRED,
    )
    TICKET = (
        401,
        "The ticket is not valid: it is unknown, used already, expired, or bound to another address. Get a new one.",
        (_INVALID,),
        Disconnect.CREDENTIAL,
    )
    REVOKED = (
        401,
        "This credential is not accepted any more.",
        (_INVALID,),
        Disconnect.REVOKED,
    )
    HOOK = (
        403,
        "The application does not let this client in.",
        (),
        Disconnect.NOT_PERMITTED,
    )
    API_KEY = (
        401,
        "This needs an API key: Authorization: Bearer <key>.",
        (_BEARER,),
        Disconnect.CREDENTIAL,
    )

    # What may it do?

    UNKNOWN_CHANNEL = (
        404,
        "This channel does not exist for clients: no namespace of the relay's configuration names it.",
        (),
        Disconnect.NOT_PERMITTED,
    )
    SUBSCRIBE_DENIED = (
        403,
        "The namespace of this channel does not let clients subscribe.",
        (),
        Disconnect.NOT_PERMITTED,
    )
    CHANNEL_DENIED = (
        403,
        "This credential is good, but not for this channel: it names others, or the channel belongs to another user.",
        (),
        Disconnect.NOT_PERMITTED,
    )
    PUBLISH_DENIED = (
        403,
        "The namespace of this channel does not let this client publish.",
        (),
        Disconnect.PUBLISH_DENIED,
    )

    # Is it known?

    NOT_AVAILABLE = (
        503,
        "The relay has no working connection to Redis now. Try again later.",
        (_RETRY,),
        Disconnect.NOT_AVAILABLE,
    )
    NOT_CHECKED = (
        503,
        "Whether this credential is good cannot be found out now. Try again later.",
        (_RETRY,),
        Disconnect.NOT_AVAILABLE,
    )
