"""The wire languages, by name. A new dialect is one file and one line here."""

from wsrelay.dialects.raw import RawDialect
from wsrelay.interfaces import IDialect

__all__ = ["DIALECTS", "SUBPROTOCOLS", "find_dialect"]

DIALECTS: dict[str, IDialect] = {dialect.name: dialect for dialect in (RawDialect(),)}

SUBPROTOCOLS = frozenset(name for dialect in DIALECTS.values() for name in dialect.subprotocols)
"""What all of them are called in Sec-WebSocket-Protocol."""


def find_dialect(path: str) -> IDialect | None:
    """The dialect spoken at a URL path, or None where no WebSocket lives."""
    for dialect in DIALECTS.values():
        if path.startswith(dialect.path):
            return dialect
    return None
