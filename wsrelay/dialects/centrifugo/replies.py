"""The replies and pushes of Centrifugo's client protocol, as documents; see `wsrelay.dialects.centrifugo.commands`."""

from __future__ import annotations

from wsrelay import __version__
from wsrelay.core.history.entries import INFO_FIELD, TAGS_FIELD
from wsrelay.core.history.offsets import EPOCH, entry_offset, position_offset
from wsrelay.core.history.pages import KeptPublication
from wsrelay.core.history.publication_fields import read_publisher, read_tags
from wsrelay.core.messaging.publications import ChannelEvent, Join, Leave, Publication
from wsrelay.core.messaging.replies import (
    Connected,
    Failed,
    HistoryRead,
    PresenceCounted,
    PresenceRead,
    Published,
    Refreshed,
    Reply,
    Subscribed,
    SubscriptionRefreshed,
    Unsubscribed,
)
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.presence.member import Member
from wsrelay.dialects.centrifugo.codes import error_code, unsubscribe_code
from wsrelay.dialects.centrifugo.commands import Document

__all__ = [
    "VERSION",
    "event_document",
    "is_told",
    "publication_document",
    "publication_info",
    "publication_offset",
    "publication_tags",
    "reply_document",
]


VERSION = f"wsrelay {__version__}"
"""The version of the server, as clients are told."""


def is_told(reply: Reply) -> bool:
    """Return whether a client that sends commands has a use for a reply: it knows by itself when to refresh."""
    return not isinstance(reply, Refreshed) or bool(reply.id)


def reply_document(reply: Reply) -> Document:
    """Return the document of a reply. A success has its method's object, empty if need be."""
    match reply:
        case Connected():
            return {"id": reply.id, "connect": _connected(reply)}
        case Subscribed() if not reply.id:
            # Without having been asked for.
            return {"push": {"channel": reply.channel, "subscribe": _positions(reply)}}
        case Subscribed():
            return {"id": reply.id, "subscribe": _subscribed(reply)}
        case Unsubscribed(command_id):
            return {"id": command_id, "unsubscribe": {}}
        case Published(command_id):
            return {"id": command_id, "publish": {}}
        case HistoryRead(command_id, page):
            publications = [_kept(each) for each in page.publications]
            history = {"publications": publications, "epoch": page.epoch, "offset": page.offset}
            return {"id": command_id, "history": history}
        case PresenceRead(command_id, members):
            return {"id": command_id, "presence": {"presence": {each.client: _client(each) for each in members}}}
        case PresenceCounted(command_id, stats):
            counts = {"num_clients": stats.clients, "num_users": stats.users}
            return {"id": command_id, "presence_stats": counts}
        case Refreshed(command_id, client, expires_seconds):
            if not command_id:
                return {"push": {"refresh": _lifetime(expires_seconds)}}
            return {"id": command_id, "refresh": {"client": client, "version": VERSION, **_lifetime(expires_seconds)}}
        case SubscriptionRefreshed(command_id, expires_seconds):
            return {"id": command_id, "sub_refresh": _lifetime(expires_seconds)}
        case Failed(command_id, error):
            return {"id": command_id, "error": _error(error)}
        case _:  # SubscriptionEnded, the one that is left; mypy sees to that
            body = {"code": unsubscribe_code(reply.disconnect), "reason": reply.disconnect.reason}
            return {"push": {"channel": reply.channel, "unsubscribe": body}}


def event_document(event: ChannelEvent) -> Document | None:
    """Return the document of an event of a channel. None if the protocol has no form for it."""
    match event:
        case Publication():
            body: Document = {"pub": publication_document(event)}
        case Join():
            member = Member(event.client, event.user, event.conn_info, event.chan_info)
            body = {"join": {"info": _client(member)}}
        case Leave(_, client, user):
            body = {"leave": {"info": _client(Member(client, user))}}
        case _:  # Gap and Positioned
            return None
    return {"push": {"channel": event.channel, **body}}


def publication_document(publication: Publication) -> Document:
    """Return the document of a publication."""
    document: Document = {"data": publication.data}
    if info := publication_info(publication):
        document["info"] = info
    if offset := publication_offset(publication):
        document["offset"] = offset
    if tags := publication_tags(publication):
        document["tags"] = tags
    return document


def publication_offset(publication: Publication) -> int:
    """Return the offset of a publication: 0 if it has none."""
    origin = publication.origin
    return 0 if origin is None else entry_offset(origin.id)


def publication_info(publication: Publication) -> Document | None:
    """Return the client that published. None if none is named."""
    origin = publication.origin
    publisher = None if origin is None else read_publisher(origin.field(INFO_FIELD))
    return None if publisher is None else _client(publisher)


def publication_tags(publication: Publication) -> dict[str, str] | None:
    """Return the tags of a publication. None if it has none."""
    origin = publication.origin
    return None if origin is None else read_tags(origin.field(TAGS_FIELD))


def _connected(reply: Connected) -> Document:
    document: Document = {"client": reply.client, "version": VERSION}
    if reply.ping_seconds:
        document |= {"ping": reply.ping_seconds, "pong": True}
    document |= _lifetime(reply.expires_seconds)
    if reply.subscriptions:
        document["subs"] = {each.channel: _subscribed(each) for each in reply.subscriptions}
    if reply.session:
        document["session"] = reply.session
    if reply.node:
        document["node"] = reply.node
    return document


def _subscribed(reply: Subscribed) -> Document:
    document = _positions(reply) | _lifetime(reply.terms.expires_seconds)
    if reply.was_recovering:
        document["was_recovering"] = True
    if reply.recovered:
        document["recovered"] = True
        if reply.publications:
            document["publications"] = [publication_document(each) for each in reply.publications]
    return document


def _positions(reply: Subscribed) -> Document:
    document: Document = {}
    position = reply.position
    if reply.recovered and reply.publications:
        # An SDK reaches the end by way of the publications, and drops those that are not behind its offset.
        position = reply.since or position
    if position and (offset := position_offset(position)):
        document |= {"recoverable": True, "positioned": True, "epoch": EPOCH, "offset": offset}
    if reply.terms.data:
        document["data"] = reply.terms.data
    return document


def _lifetime(seconds: int | None) -> Document:
    return {} if seconds is None else {"expires": True, "ttl": seconds}


def _kept(publication: KeptPublication) -> Document:
    document: Document = {"data": publication.data, "offset": publication.offset}
    if publisher := read_publisher(publication.info):
        document["info"] = _client(publisher)
    if tags := read_tags(publication.tags):
        document["tags"] = tags
    return document


def _client(member: Member) -> Document:
    document: Document = {"user": member.user, "client": member.client}
    if member.conn_info:
        document["conn_info"] = member.conn_info
    if member.chan_info:
        document["chan_info"] = member.chan_info
    return document


def _error(error: ClientError) -> Document:
    code, message, is_temporary = error_code(error)
    # An SDK needs both code and message.
    return {"code": code, "message": message, **({"temporary": True} if is_temporary else {})}
