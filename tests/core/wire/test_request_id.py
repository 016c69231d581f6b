"""Tests of `wsrelay.core.wire.request_id`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.request_id import request_id


class RequestIdTests(SynchronousTestCase):
    """The value of X-Request-Id."""

    def test_id_of_a_router_is_taken(self) -> None:
        for text in ("4f0a7a7e-7f0c-4bd6-9f0e-1c2d3e4f5a6b", "Root=1-67891233-abcdef012345678912345678", "a" * 200):
            self.assertEqual(request_id(text), text)

    def test_anything_else_is_not(self) -> None:
        for text in ("", "a" * 201, "a b", "a,b", "a\n", "\n", "caf\xe9", '"', "\x1b[31m", "{x}", "\u0661"):
            self.assertEqual(request_id(text), "", repr(text))
