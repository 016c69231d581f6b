"""THE table of client errors: what a client did wrong or may not do, and how each is reported.

A client whose handshake is not complete gets the HTTP status and the text, a connected one the disconnect, or in a
dialect with replies an error in a reply. The text says what to fix, to a developer who holds the credential; it says
nothing about keys, users or other credentials to one who guesses: everything that is wrong with a credential before its
signature has been verified has one answer.
"""

from __future__ import annotations

from enum import Enum

from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.http_response import ErrorResponse

__all__ = ["ClientError"]

# RFC 9110 section 11.6.1: a 401 says how to authenticate.
_BEARER = ("WWW-Authenticate", "Bearer")
# RFC 6750 section 3.1.
_INVALID = ("WWW-Authenticate", 'Bearer error="invalid_token"')
_RETRY = ("Retry-After", "5")


class ClientError(Enum):
    """Why a client is rejected, or may not do something.

    Attributes:
        response: The HTTP response, as long as the handshake is not complete.
        disconnect: The close, once it is.
    """

    response: ErrorResponse
    disconnect: Disconnect

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...], disconnect: Disconnect) -> None:
        self.response = ErrorResponse(status, text, headers)
        self.disconnect = disconnect

    @property
    def reason(self) -> str:
        """The error's name in metrics and the log."""
        return self.name.lower()

    @property
    def is_temporary(self) -> bool:
        """True if the same request may succeed a moment later."""
        return self.disconnect.reconnect

    @property
    def wants_new_credential(self) -> bool:
        """True if the client should get a new credential and try again with that."""
        return self in (ClientError.TICKET, ClientError.TOKEN_EXPIRED)

    @property
    def ends_connection(self) -> bool:
        """True if the client is disconnected for it even in a dialect that has replies."""
        return self is ClientError.TOKEN_MISMATCH

    # Authentication

    ORIGIN = (
        403,
        "Pages of this origin may not connect. Add the origin to the setting origins; if the page and the relay share "
        "their host, have the proxy in between pass the Host field on unchanged.",
        (),
        Disconnect.CREDENTIAL,
    )
    ORIGIN_SCHEME = (
        403,
        "The page and the relay share their host, but not their scheme: the page's is in its Origin, the relay's is "
        "judged by X-Forwarded-Proto of the trusted proxies, or by its own TLS. Have the proxy that ends TLS send "
        "X-Forwarded-Proto: https, or add the origin to the setting origins.",
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
        "This channel needs a credential: a ticket or a token.",
        (_BEARER,),
        Disconnect.CREDENTIAL,
    )
    TOO_LATE = (
        401,
        "No credential came in time.",
        (_BEARER,),
        Disconnect.STALE,
    )
    TOKEN = (
        401,
        "The token is not valid here: its signature, key or algorithm is not accepted, or it is not a token.",
        (_INVALID,),
        Disconnect.CREDENTIAL,
    )
    TOKEN_CLAIMS = (
        401,
        "The token is signed, but its claims are not usable: it needs exp, and aud and iss where the relay asks for "
        "them; sub is a text, channels and publish are lists of channel patterns, info is JSON of at most 4 KiB, subs "
        "an object of channels. A subscription token needs channel.",
        (_INVALID,),
        Disconnect.CREDENTIAL,
    )
    CHANNEL_TOKEN = (
        401,
        "This token is for one channel (it has the claim channel): show one for the connection, without that claim.",
        (_INVALID,),
        Disconnect.CREDENTIAL,
    )
    TOKEN_MISMATCH = (
        403,
        "The token is valid, but for another user, channel or connection.",
        (),
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
        "The ticket is not valid: it is unknown, used, expired, or bound to another address. Get a new one.",
        (_INVALID,),
        Disconnect.CREDENTIAL,
    )
    REVOKED = (
        401,
        "This credential has been revoked.",
        (_INVALID,),
        Disconnect.REVOKED,
    )
    HOOK = (
        403,
        "The application rejected this client.",
        (),
        Disconnect.NOT_PERMITTED,
    )
    API_KEY = (
        401,
        "This needs an API key: Authorization: Bearer <key>, or X-API-Key: <key>.",
        (_BEARER,),
        Disconnect.CREDENTIAL,
    )

    # Authorization

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
        "This credential is valid, but not for this channel: it lists others, or the channel belongs to another user.",
        (),
        Disconnect.NOT_PERMITTED,
    )
    PUBLISH_DENIED = (
        403,
        "The namespace of this channel does not let this client publish.",
        (),
        Disconnect.PUBLISH_DENIED,
    )

    NO_HISTORY = (
        400,
        "This channel keeps no history: subscribe to it without history, or have history_size set for its namespace.",
        (),
        Disconnect.BAD_REQUEST,
    )

    # Commands, in dialects that have them

    REFRESH_EXPIRED = (
        401,
        "The new token for this subscription has expired, or is not valid yet.",
        (_INVALID,),
        Disconnect.CREDENTIAL_EXPIRED,
    )
    ALREADY_SUBSCRIBED = (
        409,
        "This connection is already subscribed to this channel.",
        (),
        Disconnect.BAD_REQUEST,
    )
    TOO_MANY_CHANNELS = (
        403,
        "This connection is subscribed to as many channels as it may be.",
        (),
        Disconnect.BAD_REQUEST,
    )
    UNRECOVERABLE = (
        409,
        "What was missed since this position cannot be sent: load the state, and subscribe without a position.",
        (),
        Disconnect.BAD_REQUEST,
    )
    TOO_MANY_REQUESTS = (
        503,
        "Too many commands of this connection wait for their replies.",
        (_RETRY,),
        Disconnect.NOT_AVAILABLE,
    )
    BAD_REQUEST = (
        400,
        "The command is malformed: a channel name or a field in it is not valid.",
        (),
        Disconnect.BAD_REQUEST,
    )
    NOT_SUPPORTED = (
        501,
        "The relay does not offer this, here or at all.",
        (),
        Disconnect.BAD_REQUEST,
    )

    # Outages

    NOT_AVAILABLE = (
        503,
        "The relay has no working connection to Redis now. Try again later.",
        (_RETRY,),
        Disconnect.NOT_AVAILABLE,
    )
    NOT_CHECKED = (
        503,
        "This credential cannot be checked now. Try again later.",
        (_RETRY,),
        Disconnect.NOT_AVAILABLE,
    )
