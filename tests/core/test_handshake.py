"""Tests of `wsrelay.core.handshake`."""

from __future__ import annotations

from http.client import HTTPResponse
from io import BytesIO
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.handshake import Refusal


class _Socket:
    """As much of a socket as the HTTP client of the standard library wants."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> BytesIO:
        """What can be read."""
        return BytesIO(self._data)


def read(data: bytes) -> HTTPResponse:
    """A response, as the standard library reads it."""
    socket: Any = _Socket(data)
    response = HTTPResponse(socket)
    response.begin()
    return response


class RefusalTests(SynchronousTestCase):
    """The answer to a handshake that fails."""

    def test_bytes(self) -> None:
        """The response is complete, closes the connection, and is neither cached nor sniffed."""
        self.assertEqual(
            Refusal(503, "Come back.", (("Retry-After", "5"),)).to_bytes(),
            b"HTTP/1.1 503 Service Unavailable\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 11\r\n"
            b"Connection: close\r\n"
            b"Cache-Control: no-store\r\n"
            b"X-Content-Type-Options: nosniff\r\n"
            b"Retry-After: 5\r\n"
            b"\r\n"
            b"Come back.\n",
        )

    def test_read_by_a_client(self) -> None:
        """An HTTP client reads status, phrase, fields and the whole text, counted in bytes and not in letters."""
        response = read(Refusal(404, "Kein Kanal \u00fc\u20ac.", (("A", "1"), ("A", "2"))).to_bytes())
        self.assertEqual((response.status, response.reason), (404, "Not Found"))
        self.assertEqual(response.headers.get_all("A"), ["1", "2"])
        self.assertEqual(response.read().decode(), "Kein Kanal \u00fc\u20ac.\n")
