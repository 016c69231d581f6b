"""The public seams: brokers and what they keep, authenticators, and dialects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from wsrelay.core.messaging.frame_type import FrameType

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from wsrelay.core.access.channel_tokens import ChannelGrant
    from wsrelay.core.access.credentials import Credential
    from wsrelay.core.access.identity import Identity
    from wsrelay.core.history.entries import Entry, StreamLook
    from wsrelay.core.history.positions import EntryID
    from wsrelay.core.history.retention import Retention
    from wsrelay.core.messaging.commands import Command
    from wsrelay.core.messaging.messages import Farewell, Message, MessagePair
    from wsrelay.core.messaging.publications import ChannelEvent, Publication, PublishResult
    from wsrelay.core.messaging.replies import Reply
    from wsrelay.core.outcomes.disconnects import AnyDisconnect
    from wsrelay.core.outcomes.errors import BrokerUnavailable
    from wsrelay.core.presence.member import Members, PresenceStats
    from wsrelay.core.presence.tables import Table
    from wsrelay.core.wire.handshake import Handshake

__all__ = [
    "IAuthenticator",
    "IBroker",
    "IBrokerSink",
    "ICredentialStore",
    "IDialect",
    "IEventLog",
    "IHistory",
    "IPresence",
    "ISwitch",
]


class IBrokerSink(Interface):
    """Receives what a broker carries. The broker makes all calls on the reactor thread."""

    def publications_received(publications: Sequence[Publication]) -> None:
        """Take messages that arrived together, on channels that are, or a moment ago were, subscribed.

        Args:
            publications: The messages. Those of one channel are in the order in which the broker received them.
        """

    def subscribed(channel: str) -> None:
        """Take the confirmation of a channel.

        From now on every message published to it arrives in `publications_received`, until `disconnected` names it.
        """

    def subscribe_failed(channel: str) -> None:
        """Take the rejection of a channel by the broker, which does not try it again."""

    def disconnected(channels: Collection[str]) -> None:
        """Take the loss of confirmed channels: messages on them may be lost until `subscribed` is called again.

        Args:
            channels: The names whose confirmation is void; none if no channel was confirmed.
        """

    def connected() -> None:
        """Take that commands are answered from now on: at the start, and after each loss of the connection."""

    def reconnected() -> None:
        """Take the end of an outage: messages flow again, and commands are answered."""

    def streams_changed(channels: Iterable[str], *, is_certain: bool = False) -> None:
        """Take that the streams of these channels may have changed: each that is watched is to be read.

        Args:
            channels: The channels.
            is_certain: Whether the server has named each of them, so that one without a stream had one meanwhile.
        """

    def streams_connected() -> None:
        """Take that changes are reported from now on: every watched stream is to be read, for none was meanwhile."""

    def streams_disconnected() -> None:
        """Take that changes are reported no more until `streams_connected`."""

    def control_received(payload: bytes) -> None:
        """Take a control message for this process; see `wsrelay.core.messaging.control`."""

    def pressure_changed(*, is_high: bool) -> None:
        """Take whether the broker has about as much to do as it should have at once.

        While it has, what can wait is to wait, such as the messages of clients. The broker still takes what comes all
        the same, up to a bound that is far away.

        Args:
            is_high: Whether it has. At first it has not; each call is a change.
        """


class IBroker(Interface):
    """Carries publications between processes.

    A broker keeps the set of desired channels as its truth: during an outage it remembers them, and afterwards it
    subscribes to and confirms all of them again by itself. Channel names at this seam have no prefix.
    """

    name = Attribute("The kind of broker, as the operator writes it: a short str.")
    node_id = Attribute("The name of this process among those that share the broker: a str that is unique and random.")
    ready = Attribute("Whether messages flow both ways at this moment: a bool.")
    problem = Attribute(
        "Why not, in words that strangers may read: they name no host, user or channel, and repeat nothing that a "
        "server sent; an empty str when ready. The broker logs the details."
    )
    credentials = Attribute("Keeps what processes share about credentials: an `ICredentialStore`.")
    history = Attribute("Keeps the streams of channels with history: an `IHistory`. None if the broker keeps none.")
    presence = Attribute("Keeps the members of channels: an `IPresence`. None if the broker keeps none.")
    switch = Attribute("Keeps whether websockets are on: an `ISwitch`.")
    events = Attribute("Keeps what the application is told: an `IEventLog`. None if the broker keeps none.")

    def attach(sink: IBrokerSink) -> None:
        """Name the one sink. Called once, before `start`."""

    def start() -> None:
        """Begin to connect, and keep connecting for ever. Never fails: during an outage the broker is not ready."""

    def stop() -> Deferred[None]:
        """Disconnect for good.

        Returns:
            Fires with None when nothing is left open, within a bounded time.
        """

    def subscribe(channels: Iterable[str]) -> None:
        """Desire channels. `IBrokerSink.subscribed` is called for each, possibly before this returns."""

    def unsubscribe(channels: Iterable[str]) -> None:
        """Desire channels no more."""

    def pause() -> None:
        """Deliver nothing until `resume`. Messages lost meanwhile are reported through `IBrokerSink.disconnected`."""

    def resume() -> None:
        """Deliver again."""

    def publish(channel: str, data: bytes) -> Deferred[PublishResult]:
        """Publish a message. Messages published to one channel keep their order.

        Returns:
            Fires with the `PublishResult` when the broker has taken the message.

        Raises:
            BrokerUnavailable: (Failure of the Deferred, after a bounded time.) The message was not taken, or that
                cannot be known.
        """

    def post(channel: str, data: bytes, done: Callable[[BrokerUnavailable | None], None]) -> None:
        """Publish a message, as `publish` does, for whom the result says nothing but that it was taken.

        There is no Deferred, because this is done for every message of a client: with one it costs twice as much.

        Args:
            channel: The channel's name.
            data: The message.
            done: Called once, within a bounded time and possibly before this returns: with None when the broker has
                taken the message, else with the error that `publish` would fail with. It raises nothing.
        """

    def send_control(payload: bytes, node_id: str | None = None) -> Deferred[int]:
        """Send a control message.

        Args:
            payload: The message; see `wsrelay.core.messaging.control`.
            node_id: The one process to send it to. If None, all processes, this one included.

        Returns:
            Fires with the number of processes that get it, as far as the broker knows, when it has taken the message.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) As for `publish`.
        """


class IHistory(Interface):
    """Keeps the streams of channels with history, and reads them. An optional capability of a broker.

    The entries of a channel are those of the stream under the channel's own name, whichever program added them. Reading
    is pulling: the broker says that a stream may have changed (`IBrokerSink.streams_changed`), and its reader reads on.
    """

    way = Attribute(
        'The way in which it learns of entries that other programs add: a short str such as "client tracking". It may '
        "change with the connection; empty while there is none."
    )

    def watch(channels: Iterable[str]) -> None:
        """Report changes of these streams, of which every one is read at once and after each reconnect.

        A change is reported once, and again only after the next `read` or `look` of that channel.
        """

    def unwatch(channels: Iterable[str]) -> None:
        """Report changes of these streams no more."""

    def read(channel: str, since: EntryID | None, count: int) -> Deferred[Sequence[Entry]]:
        """Read entries, oldest first.

        Calls of one broker are carried out in their order.

        Args:
            channel: The channel's name.
            since: The ID to begin with, which is among the result if an entry has it. If None, the oldest entry.
            count: The largest number of entries.

        Returns:
            Fires with the entries, within a bounded time; none if the channel has no stream.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) They cannot be read now, or the key is no stream.
        """

    def read_behind(
        anchors: Sequence[tuple[str, Entry]],
        count: int,
        came: Callable[[Sequence[Sequence[Entry] | BrokerUnavailable | None]], None],
    ) -> None:
        """Read what follows an entry, in each of several channels.

        What is due at the same time costs less together, and there is no Deferred, because this is done for every
        message: one costs as much as all that a message costs on a plain channel but for its send.

        Args:
            anchors: The name of each channel, and an entry that was read from it. At least one.
            count: The largest number of entries of each.
            came: Called once, within a bounded time, with the entries behind each; None where that entry is not there
                any more as it was, and an error where they cannot be read. It raises nothing.
        """

    def look(channel: str, since: EntryID | None, count: int) -> Deferred[StreamLook]:
        """Read entries as `read` does, and at the same moment the state of the stream.

        Returns:
            Fires with both, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) As for `read`.
        """

    def look_at_newest(channel: str, count: int) -> Deferred[StreamLook]:
        """Read the newest entries, oldest first, and at the same moment the state of the stream.

        Returns:
            Fires with both, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) As for `read`.
        """

    def append(
        channel: str, data: bytes, retention: Retention, idempotency_key: str = "", info: bytes = b"", tags: bytes = b""
    ) -> Deferred[PublishResult]:
        """Add an entry to a channel's stream. Entries added to one channel keep their order.

        Args:
            channel: The channel's name.
            data: The payload.
            retention: The bounds of the stream.
            idempotency_key: A text. Of calls with the same one for a channel, within five minutes, only the first adds
                an entry, and the others return its result. If empty, every call adds one.
            info: The client that published it; see `wsrelay.core.history.entries.INFO_FIELD`. If empty, none did.
            tags: Its tags; see `wsrelay.core.history.entries.TAGS_FIELD`. If empty, it has none.

        Returns:
            Fires with the `PublishResult` when the broker has taken the entry.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) The entry was not taken, or that cannot be known.
            IdempotencyUnavailable: (Failure of the Deferred.) The server cannot keep the promise of the key; nothing
                was added.
        """

    def clear(channel: str) -> Deferred[None]:
        """Remove the entries of a channel. Its stream stays, so that positions of before are still judged rightly.

        Returns:
            Fires with None.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) They were not removed, or that cannot be known.
        """

    def maintain(channel: str, retention: Retention, *, is_idle: bool = False) -> None:
        """Keep a stream that is watched within its bounds: its length, the age of its entries and its time to live.

        It does what is due, and may be called as often as one likes.

        Args:
            channel: The channel's name.
            retention: The bounds.
            is_idle: Whether nothing new was read of it.
        """


class ISwitch(Interface):
    """Keeps the switch, by which an operator turns websockets off for all processes. It outlives each of them.

    Its value is read by `wsrelay.core.messaging.switch.read_switch_state`.
    """

    def read() -> Deferred[bytes]:
        """Read the value.

        Returns:
            Fires with at least its first `MAX_VALUE_BYTES` bytes, within a bounded time; empty if there is none.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be read now.
        """

    def set(value: bytes) -> Deferred[None]:
        """Turn websockets off.

        Args:
            value: The value, which is not empty.

        Returns:
            Fires with None when the value is kept, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It is not kept, or that cannot be known.
        """

    def clear() -> Deferred[bool]:
        """Turn websockets on.

        Returns:
            Fires with whether there was a value, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) The value is still there, or that cannot be known.
        """


class IPresence(Interface):
    """Keeps the members of channels, and the leases that processes hold. An optional capability of a broker.

    A table holds names, each for as long as a process renews its lease (`wsrelay.core.presence.lease_book`). Time is
    that of the store, so that the clocks of processes need not agree. A call waits for the one before where their order
    matters.
    """

    def presence(channel: str, limit: int = ...) -> Deferred[Members]:
        """Look up the members of a channel.

        Args:
            channel: The channel's name.
            limit: The largest number of members to return.

        Returns:
            Fires with the members, within a bounded time.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) They cannot be looked up now.
        """

    def presence_stats(channel: str) -> Deferred[PresenceStats]:
        """Look up how many members a channel has.

        Returns:
            Fires with the numbers, within a bounded time. That of users is the one among the first
            `wsrelay.core.presence.member.MAX_COUNTED` members where there are more.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) They cannot be looked up now.
        """

    def hold(table: Table, names: Sequence[str]) -> Deferred[Sequence[str]]:
        """Add names to a table, or renew their leases: from now on they last for `LEASE_SECONDS`.

        Returns:
            Fires with those of the names that were not in the table. One caller of all processes is told of each.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) Some of the names may not be held.
        """

    def release(table: Table, names: Sequence[str]) -> Deferred[None]:
        """Have the leases of names end after the table's `leave_seconds`, or remove them at once where that is 0.

        Returns:
            Fires with None.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) Some of the names may be held until their leases run out.
        """

    def take_ended(table: Table) -> Deferred[Sequence[str]]:
        """Remove the names whose leases have run out.

        Returns:
            Fires with them. One caller of all processes is given each.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) They may still be in the table.
        """


class IEventLog(Interface):
    """Keeps what the application is told of clients and channels. An optional capability of a broker."""

    def append(events: Sequence[Mapping[str, str]]) -> Deferred[int]:
        """Add events, oldest first.

        Args:
            events: The fields of each; `wsrelay.core.presence.events` has their names.

        Returns:
            Fires with the number of events that were added, within a bounded time. Of the others that cannot be known.
        """


class ICredentialStore(Interface):
    """Keeps what processes share about credentials: tickets, and what has been revoked.

    Every Deferred fires within a bounded time and fails with `wsrelay.core.outcomes.errors.BrokerUnavailable` where the
    answer cannot be known.
    """

    def create(ticket: str, document: bytes, seconds: int) -> Deferred[bool]:
        """Create a ticket.

        Args:
            ticket: Its name, inside the grammar of tickets.
            document: Its claims, as JSON.
            seconds: Its lifetime.

        Returns:
            Fires with True, or with False if a ticket of this name exists.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be stored now.
        """

    def read(ticket: str) -> Deferred[bytes | None]:
        """Look a ticket up and leave it in the store.

        Returns:
            Fires with the ticket's document. If None, there is no such ticket.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be looked up now.
        """

    def redeem(ticket: str) -> Deferred[bytes | None]:
        """Take a ticket out of the store.

        Returns:
            Fires with the ticket's document for the first caller of all processes, and with None for any other.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be looked up now.
        """

    def delete(ticket: str) -> Deferred[None]:
        """Delete a ticket that may not have been redeemed yet.

        Returns:
            Fires with None.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be deleted now.
        """

    def revoke(target: str, seconds: int) -> Deferred[None]:
        """Accept no credential of a target for some time.

        Args:
            target: A kind and a value: ``user:42``, ``connection:5f0c``, ``ticket:...`` or ``token:...``; see
                `wsrelay.core.messaging.control.DisconnectCommand`.
            seconds: For how long.

        Returns:
            Fires with None.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be stored now.
        """

    def are_revoked(targets: Sequence[str]) -> Deferred[Sequence[bool]]:
        """Look up whether targets are revoked now.

        Returns:
            Fires with one bool for each target, in the order of the targets.

        Raises:
            BrokerUnavailable: (Failure of the Deferred.) It cannot be looked up now.
        """


class IAuthenticator(Interface):
    """Authenticates clients, and authorizes what the rules of a namespace leave to the application."""

    def find(handshake: Handshake) -> Credential | None:
        """Find the credential in a handshake.

        Returns:
            The credential. None if there is none that this authenticator can check.

        Raises:
            RejectedError: The handshake has several, or one that is malformed.
        """

    def requires_authentication(handshake: Handshake) -> bool:
        """Return whether a client is authenticated even if it shows no credential."""

    def authenticate(
        credential: Credential | None,
        handshake: Handshake,
        channels: Sequence[str],
        on_identity: Callable[[Identity], None],
    ) -> Deferred[Identity]:
        """Authenticate a client.

        Args:
            credential: What the client showed. If None, nothing.
            handshake: Its opening request.
            channels: The channels that it asks for in its handshake; none in dialects that ask later.
            on_identity: Called with the identity known so far before each further lookup, so that a concurrent
                revocation already finds the client.

        Returns:
            Fires with the identity, within 15 s.

        Raises:
            RejectedError: (Failure of the Deferred.) The client is rejected, or its credential cannot be checked now.
        """

    def refresh(token: str, identity: Identity) -> Deferred[Identity]:
        """Authenticate a connected client anew, by a new token.

        Args:
            token: What the client sent, of any form and length.
            identity: Its identity so far.

        Returns:
            Fires with its identity from now on, within a bounded time. The caller looks up whether one of its
            revocation targets is revoked.

        Raises:
            RejectedError: (Failure of the Deferred.) With `ClientError.TOKEN_EXPIRED`, it is not valid now, or is a
                ticket, with which the client has to reconnect. With `ClientError.TOKEN_MISMATCH`, it is for another
                user, or the client is anonymous. With `ClientError.NOT_CHECKED`, it cannot be checked now. Otherwise it
                is no good token.
        """

    authorizes_subscribe = Attribute("Whether `authorize_subscribe` may ask the application: a bool, always the same.")

    def clear_cache() -> None:
        """Forget every cached answer of the application, because a client was revoked."""

    def authorize_subscribe(identity: Identity, channel: str) -> Deferred[None] | None:
        """Ask whether a client may subscribe to a channel that it did not name in its handshake.

        Returns:
            None if the rules of the namespace decide alone. Else fires with None if the application permits it.

        Raises:
            RejectedError: (Failure of the Deferred.) It does not, or cannot be asked now.
        """

    def authorize_channel_token(
        token: str, identity: Identity, channel: str, connection: str
    ) -> Deferred[ChannelGrant]:
        """Check a subscription token: a signed permission for one channel.

        The rules of the namespace still decide; see `is_granted` of `wsrelay.core.access.permissions.check_subscribe`.

        Args:
            token: What the client sent, of any form and length.
            identity: The client's identity.
            channel: The channel that it wants to subscribe to, or is subscribed to and refreshes.
            connection: The unique name of its connection.

        Returns:
            Fires with what the token permits, within a bounded time.

        Raises:
            RejectedError: (Failure of the Deferred.) With `ClientError.TOKEN` or `ClientError.TOKEN_CLAIMS`, it is no
                good token. With `ClientError.TOKEN_EXPIRED`, it is not valid now. With `ClientError.TOKEN_MISMATCH`, it
                is for another user, channel or connection. With `ClientError.REVOKED`, it has been revoked. With
                `ClientError.NOT_CHECKED`, it cannot be checked now.
        """

    def authorize_publish(identity: Identity, channel: str, data: bytes) -> Deferred[None] | None:
        """Ask whether a client may publish a message that the rules of the namespace permit.

        Returns:
            None if the rules decide alone. Else fires with None if the application permits it.

        Raises:
            RejectedError: (Failure of the Deferred.) It does not, or cannot be asked now.
        """


class IDialect(Interface):
    """A wire language spoken to clients. Pure and without state: bytes in, values out, so that a transcript tests it.

    A dialect makes messages; framing them for a transport is the business of `wsrelay.core.wire.framing`.
    """

    name = Attribute("A short str, unique among dialects.")
    subprotocols = Attribute("Its names in Sec-WebSocket-Protocol (RFC 6455 section 1.9): a tuple of str.")
    acceptance = Attribute(
        "When the handshake of its clients is completed: a `wsrelay.core.sessions.acceptance.Acceptance`."
    )
    has_gap_event = Attribute(
        "Whether `encode` has a form for `Gap`: a bool. If False, a gap ends the connection or the subscription."
    )
    has_session = Attribute(
        "Whether clients are told a session, which is a secret name of their connection, though they send nothing that "
        "would need it: a bool."
    )
    is_verbatim = Attribute(
        "Whether `encode` makes of a publication whose data is ASCII the text message that is its data, unless "
        "`frames` is BINARY: a bool. If True, a batch of one such publication need not be passed to it."
    )
    has_pong = Attribute("Whether clients answer what `ping` returns: a bool. One that does not in time is gone.")

    def open(handshake: Handshake) -> Sequence[Command]:
        """Read the commands that a handshake amounts to.

        Raises:
            HTTPError: The handshake makes no sense in this dialect.
        """

    def first_message(handshake: Handshake) -> Message | None:
        """Return what a handshake carries that counts as the client's first message. None if it carries nothing.

        Only dialects whose clients connect by a command have one.
        """

    def decode(message: Message, *, is_connected: bool) -> Sequence[Command]:
        """Read the commands of one message.

        Args:
            message: What the client sent.
            is_connected: Whether the client has been authenticated; if False, its credential is still to come.

        Raises:
            ProtocolViolation: The message makes no sense in this dialect.
            RejectedError: It holds a credential that is malformed.
        """

    def encode(events: Sequence[ChannelEvent], frames: FrameType = FrameType.AUTO) -> Sequence[MessagePair]:
        """Make the messages that carry events of one channel, in their order.

        The result never depends on a subscriber: one batch is encoded once for all who share the encoding.

        Args:
            events: The events. If `frames` is TEXT, the data of all publications is valid UTF-8.
            frames: The type of frame for publications that are passed on as they are. A dialect that wraps them
                ignores it.

        Returns:
            The messages; none if the dialect has no form for these events.
        """

    def reply(replies: Sequence[Reply]) -> Sequence[Message]:
        """Make the messages that carry replies to one client, in their order."""

    def ping() -> Message | None:
        """Return the message that asks a client for a sign of life, or None if pings are the transport's own."""

    def close(disconnect: AnyDisconnect) -> Farewell:
        """Return how this dialect tells a client that its connection ends."""
