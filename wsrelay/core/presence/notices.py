"""Notices between processes about a table of leases, on the Pub/Sub channel of the table's name.

::

    PUBLISH wsrelay:$here:{chat} '{"joined":[["5f0c","42"]],"left":["user:43"],"released":[]}'

Of members about whom something is told the objects stand in `infos` as well, as `Member.text` has them.

Only processes with subscribers on the channel are subscribed to it. Other fields are ignored, because two adjacent
versions run beside each other during a deploy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.core.presence.member import Member, member_of_document

__all__ = ["NAMES_PER_NOTICE", "Notice", "notices", "read_notice"]

NAMES_PER_NOTICE = 200
"""How many members or names one notice has at most."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about a table.

    Attributes:
        joined: The members that were not here before. That of a user stands for one of its connections.
        left: The names that are in the table no more.
        released: The names that the sender holds no more.
    """

    joined: tuple[Member, ...] = ()
    left: tuple[str, ...] = ()
    released: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the message."""
        joined = [(each.client, each.user) for each in self.joined]
        document = {"joined": joined, "left": self.left, "released": self.released}
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        if infos := [each.text for each in self.joined if each.conn_info or each.chan_info]:
            # Beside the pairs, which older versions read.
            text = f'{text[:-1]},"infos":[{",".join(infos)}]}}'
        return text.encode()


def notices(
    *, joined: Sequence[Member] = (), left: Sequence[str] = (), released: Sequence[str] = ()
) -> Iterator[Notice]:
    """Make the notices that have all of these, each of a bounded size."""
    for start in range(0, max(len(joined), len(left), len(released)), NAMES_PER_NOTICE):
        part = slice(start, start + NAMES_PER_NOTICE)
        yield Notice(tuple(joined[part]), tuple(left[part]), tuple(released[part]))


def read_notice(payload: bytes) -> Notice:
    """Read a notice.

    Raises:
        ClaimError: It is none.
    """
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ClaimError("a notice is a JSON object")
    return Notice(_members(document), _names(document, "left"), _names(document, "released"))


def _members(document: dict[str, object]) -> tuple[Member, ...]:
    pairs = document.get("joined", [])
    if not isinstance(pairs, list):
        raise ClaimError("joined is a list")
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise ClaimError("joined is a list of pairs of texts")
    infos = document.get("infos")
    objects = [each for each in infos if isinstance(each, dict)] if isinstance(infos, list) else []
    told = {each.client: each for each in map(member_of_document, objects) if each is not None}
    return tuple(told.get(client) or Member(client, user) for client, user in pairs)


def _names(document: dict[str, object], name: str) -> tuple[str, ...]:
    names = document.get(name, [])
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise ClaimError(f"{name} is a list of texts")
    return tuple(names)
