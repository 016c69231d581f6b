"""Who a client is, and what its credential says about that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wsrelay.core.messaging.channel_names import check_pattern, matches
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ChannelError, ClaimError

__all__ = [
    "ANONYMOUS",
    "MAX_PATTERNS",
    "MAX_SUBJECT_BYTES",
    "Identity",
    "check_names",
    "is_name",
    "read_identity",
    "read_instant",
]

MAX_SUBJECT_BYTES = 255
MAX_PATTERNS = 100
"""As many channel patterns may a credential name, for each of `channels` and `publish`."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is.

    Attributes:
        subject: The user, as the application calls it (`sub`, RFC 7519 section 4.1.2). None: nobody in particular.
        channels: The patterns of the channels that the credential is for. None: it names none, and is good for
            whatever the namespaces give to its user.
        publish: The same for publishing.
        expires: When the credential ends, in seconds since the epoch. None: it lasts as long as the connection.
        credential_id: What revokes it beside its user: a token's `jti`, a ticket. None: nothing does.
        is_authenticated: Whether a credential or the application vouches for the client.
        rejected: Why the credential that its browser sent by itself is not good, where there was one: what to tell a
            client that would have needed it.
        address: Where it is, if the application was asked about it.
    """

    subject: str | None = None
    channels: tuple[str, ...] | None = None
    publish: tuple[str, ...] | None = None
    expires: float | None = None
    credential_id: str | None = None
    is_authenticated: bool = True
    rejected: ClientError | None = None
    address: str = field(default="", compare=False)

    def lists_channel(self, channel: str) -> bool:
        """Whether the credential names a channel."""
        return self.channels is not None and matches(self.channels, channel)

    def lists_for_publish(self, channel: str) -> bool:
        """Whether the credential names a channel to publish to."""
        return self.publish is not None and matches(self.publish, channel)

    def revocation_targets(self, connection: str) -> list[str]:
        """What the client can be disconnected by: its connection, its user, its credential."""
        names = [f"connection:{connection}"]
        if self.subject is not None:
            names.append(f"user:{self.subject}")
        if self.credential_id is not None:
            names.append(self.credential_id)
        return names


ANONYMOUS = Identity(is_authenticated=False)
"""A client without a credential."""


def read_identity(claims: Mapping[str, object], credential_id: str | None = None) -> Identity:
    """The identity that claims amount to: those of a token, a ticket, or an answer of the application.

    Args:
        claims: `sub` a text, `channels` and `publish` lists of channel patterns, `exp` seconds since the epoch. All may
            be missing or None; others are not looked at.
        credential_id: What revokes it.

    Raises:
        ClaimError: One of them is something else. The text names it and never repeats its value.
    """
    subject = claims.get("sub")
    if isinstance(subject, int) and not isinstance(subject, bool):
        # Many applications count their users; JSON keeps the difference, nobody means one.
        subject = str(subject)
    if subject is not None and not (isinstance(subject, str) and is_name(subject)):
        raise ClaimError(f"sub must be a text of 1 to {MAX_SUBJECT_BYTES} bytes")
    return Identity(
        subject=subject,
        channels=_patterns(claims, "channels"),
        publish=_patterns(claims, "publish"),
        expires=read_instant(claims, "exp"),
        credential_id=credential_id,
    )


def is_name(text: str) -> bool:
    """Whether a user may be called so."""
    try:
        return 0 < len(text.encode()) <= MAX_SUBJECT_BYTES
    except UnicodeEncodeError:
        # JSON can spell half of a surrogate pair, which is no text.
        return False


def check_names(claims: Mapping[str, object], known: Sequence[str]) -> None:
    """Look whether claims say only what is understood: a limit that is misspelt would be none.

    Raises:
        ClaimError: There is something else.
    """
    if not set(claims) <= set(known):
        raise ClaimError(f"it says something that is not understood here: it may say {', '.join(known)}")


def read_instant(claims: Mapping[str, object], name: str) -> float | None:
    """The seconds since the epoch that a claim is (RFC 7519 section 2, NumericDate); None if it is missing or null.

    Raises:
        ClaimError: It is something else, or no number that there is a time for.
    """
    value = claims.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        # An integer of JSON has no bound; a float has.
        pass
    raise ClaimError(f"{name} must be a number: seconds since 1970")


def _patterns(claims: Mapping[str, object], name: str) -> tuple[str, ...] | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_PATTERNS or not all(isinstance(each, str) for each in value):
        raise ClaimError(f"{name} must be a list of at most {MAX_PATTERNS} channel patterns")
    try:
        return tuple(check_pattern(each) for each in value)
    except ChannelError:
        raise ClaimError(f"{name} must be a list of channel names, or beginnings of names with * at the end") from None
