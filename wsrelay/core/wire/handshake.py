"""The opening request of a client."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

__all__ = ["MAX_PARAMETERS", "Handshake"]

MAX_PARAMETERS = 64
"""Parameters of a query that are read; more are ignored with the whole query."""


@dataclass(slots=True)
class Handshake:
    """The opening request of a client, already checked for bytes that have no business in a head.

    Attributes:
        path: The request's path, percent-encoding untouched, without the query.
        peer: The client's address, as far as the proxies in front are trusted to tell it.
        query: The part behind the question mark; may hold a ticket.
        origin: The Origin field (RFC 6454 section 7), as sent. If None, there is none.
        host: The Host field.
        authorization: The Authorization field; may hold a token.
        cookie: The Cookie field; may hold a token.
        subprotocols: The items of Sec-WebSocket-Protocol; may hold a token.
        accept: The Accept field.
        last_event_id: The Last-Event-ID field: the position behind the last event that the client got. If None, there
            is none.
        connection: A random id of the connection, unique over all processes.
        request_id: The id that a router in front has given the request; empty if there is none. For the log: no proof.
        is_secure: Whether the client's connection is encrypted. If None, a proxy in between hides it.
        body: The body, which only requests for some streams have; may hold a token.
    """

    path: str
    peer: str
    query: str = field(default="", repr=False)
    origin: str | None = None
    host: str = ""
    authorization: str = field(default="", repr=False)
    cookie: str = field(default="", repr=False)
    subprotocols: tuple[str, ...] = field(default=(), repr=False)
    is_secure: bool | None = None
    accept: str = ""
    last_event_id: str | None = None
    connection: str = ""
    request_id: str = ""
    body: bytes = field(default=b"", repr=False)

    def of_another(self, peer: str, connection: str) -> Handshake:
        """Return the opening request of another client that asks for the same in the same words.

        Args:
            peer: Its address.
            connection: The id of its connection.
        """
        return Handshake(
            self.path,
            peer,
            self.query,
            self.origin,
            self.host,
            self.authorization,
            self.cookie,
            self.subprotocols,
            self.is_secure,
            self.accept,
            self.last_event_id,
            connection,
            self.request_id,
            self.body,
        )

    @property
    def promises_credential(self) -> bool:
        """True if the client says that its first message will be its credential."""
        return "auth=message" in self.query and self.parameters("auth") == ["message"]

    def parameters(self, name: str) -> list[str]:
        """Return the values of a parameter of the query, in order, empty ones too."""
        if not self.query:
            return []
        try:
            return [value for key, value in parse_qsl(self.query, True, max_num_fields=MAX_PARAMETERS) if key == name]
        except ValueError:
            return []

    def cookies(self, name: str) -> list[str]:
        """Return the values of the cookies of a name, in order (RFC 6265 section 4.2.1)."""
        pairs = (pair.strip().partition("=") for pair in self.cookie.split(";"))
        return [value.strip('"') for key, equals, value in pairs if equals and key == name]
