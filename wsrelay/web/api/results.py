"""The results of methods, as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from wsrelay.core.history.pages import KeptPublication
from wsrelay.core.history.publication_fields import read_publisher, read_tags
from wsrelay.core.presence.member import Member
from wsrelay.core.wire.json_text import dump_json, embed_json

__all__ = ["member_json", "publication_json"]


def member_json(member: Member) -> bytes:
    """Return a client, as Centrifugo's ClientInfo."""
    infos = (b"conn_info", member.conn_info), (b"chan_info", member.chan_info)
    fields = [(b"client", dump_json(member.client)), (b"user", dump_json(member.user))]
    return _object([*fields, *((name, info) for name, info in infos if info)])


def publication_json(publication: KeptPublication) -> bytes:
    """Return a publication that a channel keeps."""
    fields = [(b"data", embed_json(publication.data)), (b"offset", b"%d" % publication.offset)]
    if publisher := read_publisher(publication.info):
        fields.append((b"info", member_json(publisher)))
    if tags := read_tags(publication.tags):
        fields.append((b"tags", dump_json(tags)))
    return _object(fields)


def _object(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"{%s}" % b",".join(b'"%s":%s' % each for each in fields)
