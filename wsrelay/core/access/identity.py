"""The identity of a client: its user, and what its credential or the application permits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wsrelay.core.access.payload_claims import read_payload
from wsrelay.core.access.server_subscriptions import ServerSubscription, read_subscriptions
from wsrelay.core.messaging.channel_names import check_pattern, matches
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ChannelError, ClaimError

__all__ = [
    "ANONYMOUS",
    "MAX_PATTERNS",
    "MAX_SUBJECT_BYTES",
    "NO_ANSWER",
    "ApplicationAnswer",
    "Identity",
    "is_name",
    "read_end",
    "read_identity",
    "read_instant",
    "read_subject",
    "reject_unknown_claims",
]

MAX_SUBJECT_BYTES = 255
"""The longest user name, in bytes of UTF-8."""

MAX_PATTERNS = 100
"""The most channel patterns in each of `channels` and `publish` of a credential."""


@dataclass(frozen=True, slots=True)
class ApplicationAnswer:
    """The answer of an application that was asked about a client, beyond what the identity says anyway.

    An object of its own, because most applications are not asked, and each idle connection has an identity.

    Attributes:
        expires: When the client's identity ends, whatever new tokens say. If None, the application sets no end.
        named: The channels that it names in full: about those it has been asked.
        credential_subject: The user by its credential, where the application calls it by another name; empty if the
            application names a user and the credential does not. If None, both name the same or none.
        address: The client's address.
        connection: The unique name of the client's connection.
    """

    expires: float | None = None
    named: tuple[str, ...] = field(default=(), compare=False)
    credential_subject: str | None = field(default=None, compare=False)
    address: str = field(default="", compare=False)
    connection: str = field(default="", compare=False)


NO_ANSWER = ApplicationAnswer()
"""The answer of an application that was not asked."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a client, and what it is good for.

    Attributes:
        subject: The user, as the application calls it (`sub`, RFC 7519 section 4.1.2). If None, no user is named.
        channels: The patterns of the channels that the credential is for. If None, it names none, and the namespaces
            alone decide what its user may subscribe to.
        publish: The same for publishing.
        expires: When the credential ends, in seconds since the epoch. If None, it lasts as long as the connection.
        credential_id: The target that revokes the credential besides its user: ``token:`` and the token's `jti`, or
            ``ticket:`` and the ticket. If None, nothing does.
        is_authenticated: Whether a credential or the application vouches for the client.
        cookie_error: Why the token in the client's cookie was rejected: the error for a client that is rejected for
            want of a credential. If None, there was no such cookie, or it was accepted.
        info: What other clients are told about this one, as JSON on one line; empty if nothing.
        subs: Channels that it is subscribed to when it connects, in dialects in which the server can do that. They
            limit nothing.
        answer: The application's answer. If it is `NO_ANSWER`, the application was not asked.
    """

    subject: str | None = None
    channels: tuple[str, ...] | None = None
    publish: tuple[str, ...] | None = None
    expires: float | None = None
    credential_id: str | None = None
    is_authenticated: bool = True
    cookie_error: ClientError | None = None
    info: bytes = b""
    subs: tuple[ServerSubscription, ...] = ()
    answer: ApplicationAnswer = NO_ANSWER

    @property
    def users(self) -> Sequence[str]:
        """The user by each name: the application's, and the credential's where that is another one."""
        names = () if self.subject is None else (self.subject,)
        other = self.answer.credential_subject
        return (*names, other) if other else names

    def lists_channel(self, channel: str) -> bool:
        """Return whether the credential lists a channel."""
        return self.channels is not None and matches(self.channels, channel)

    def lists_for_publish(self, channel: str) -> bool:
        """Return whether the credential lists a channel to publish to."""
        return self.publish is not None and matches(self.publish, channel)

    def revocation_targets(self, connection: str) -> list[str]:
        """Return the targets that disconnect the client: its connection, its user by each name, its credential.

        Args:
            connection: The unique name of its connection.

        Returns:
            Each a kind and a value, such as ``user:42``, in this order; see
            `wsrelay.core.messaging.control.DisconnectCommand`.
        """
        targets = [f"connection:{connection}", *(f"user:{user}" for user in self.users)]
        if self.credential_id is not None:
            targets.append(self.credential_id)
        return targets


ANONYMOUS = Identity(is_authenticated=False)
"""The identity of a client without a credential."""


def read_identity(claims: Mapping[str, object], credential_id: str | None = None) -> Identity:
    """Read the identity from the claims of a token, of a ticket, or of an answer of the application.

    Args:
        claims: `sub`, a str or int; `channels` and `publish`, lists of channel patterns; `exp`, seconds since the
            epoch; `info` and `b64info`, see `read_payload`; `subs`, see `read_subscriptions`. Each may be missing or
            None; all others are ignored.
        credential_id: The target that revokes the credential. If None, nothing does.

    Raises:
        ClaimError: A claim has another type or form. The text names the claim and never repeats its value.
    """
    return Identity(
        subject=read_subject(claims),
        channels=_patterns(claims, "channels"),
        publish=_patterns(claims, "publish"),
        expires=read_instant(claims, "exp"),
        credential_id=credential_id,
        info=read_payload(claims, "info"),
        subs=read_subscriptions(claims),
    )


def read_subject(claims: Mapping[str, object]) -> str | None:
    """Read the claim `sub`.

    Returns:
        The user; None if the claim is missing or null.

    Raises:
        ClaimError: The claim has another type, or is empty or too long.
    """
    subject = claims.get("sub")
    if isinstance(subject, int) and not isinstance(subject, bool):
        # Many applications number their users. JSON distinguishes 42 from "42"; applications do not mean to.
        subject = str(subject)
    if subject is not None and not (isinstance(subject, str) and is_name(subject)):
        raise ClaimError(f"sub must be a text of 1 to {MAX_SUBJECT_BYTES} bytes")
    return subject


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a user: 1 to `MAX_SUBJECT_BYTES` bytes of UTF-8."""
    try:
        return 0 < len(text.encode()) <= MAX_SUBJECT_BYTES
    except UnicodeEncodeError:
        # JSON can spell half of a surrogate pair, which UTF-8 cannot encode.
        return False


def reject_unknown_claims(claims: Mapping[str, object], known: Sequence[str]) -> None:
    """Reject claims with other names than the known ones: a misspelt limit would limit nothing.

    Raises:
        ClaimError: There is a claim of another name.
    """
    if not set(claims) <= set(known):
        raise ClaimError(f"it says something that is not understood here: it may say {', '.join(known)}")


def read_instant(claims: Mapping[str, object], name: str) -> float | None:
    """Read a claim that is a time (RFC 7519 section 2, NumericDate).

    Returns:
        Seconds since the epoch; None if the claim is missing or null.

    Raises:
        ClaimError: The claim is not a number, or is not finite.
    """
    value = claims.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        # An integer of JSON has no bound, a float has.
        pass
    raise ClaimError(f"{name} must be a number: seconds since 1970")


def read_end(claims: Mapping[str, object], default: float | None) -> float | None:
    """Read the claim `expire_at`: when what a credential is for ends, whenever the credential itself does.

    Args:
        claims: The claims.
        default: The end if the claim is missing or null.

    Returns:
        Seconds since the epoch. If None, it has no end: the claim is 0.

    Raises:
        ClaimError: The claim is not a number, or is not finite.
    """
    end = read_instant(claims, "expire_at")
    return default if end is None else end or None


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
