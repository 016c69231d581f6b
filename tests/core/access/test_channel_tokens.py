"""Tests of `wsrelay.core.access.channel_tokens`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.channel_tokens import ChannelGrant, ChannelToken, read_channel_token
from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ClaimError


class ReadTests(SynchronousTestCase):
    """`read_channel_token`."""

    def test_claims_become_the_token_and_unknown_ones_are_ignored(self) -> None:
        claims = {
            "channel": "room",
            "sub": 42,
            "client": "5f0c",
            "info": {"a": 1},
            "b64data": "WzFd",
            "override": {"presence": {"value": True}},
        }
        self.assertEqual(
            read_channel_token(claims, 7.0, "token:1"),
            ChannelToken("room", "42", "5f0c", ChannelGrant(7.0, b'{"a":1}', b"[1]"), "token:1"),
        )

    def test_channel_is_enough(self) -> None:
        for more in ({}, dict.fromkeys(("sub", "client", "info", "b64info", "data", "b64data")), {"client": ""}):
            token = read_channel_token({"channel": "room", **more}, None)
            self.assertEqual(token, ChannelToken("room", None, "", ChannelGrant()))

    def test_invalid_claims_are_rejected_and_not_repeated(self) -> None:
        invalid: list[tuple[dict[str, object], str]] = [
            ({"channel": None}, "channel must be the name of a channel"),
            ({"channel": ""}, "channel must be the name of a channel"),
            ({"channel": ["room"]}, "channel must be the name of a channel"),
            ({"client": 7}, "client must be the id of a connection"),
            ({"client": False}, "client must be the id of a connection"),
            ({"sub": ["42"]}, "sub must be a text of 1 to 255 bytes"),
            ({"b64info": "?"}, "b64info must be a text in base64"),
            ({"data": "x" * 5000}, "data must have at most 4096 bytes as JSON"),
        ]
        for claims, problem in invalid:
            error = self.assertRaises(ClaimError, read_channel_token, {"channel": "room", **claims}, None)
            self.assertEqual(str(error), problem)


class CheckTests(SynchronousTestCase):
    """`ChannelToken.check`."""

    def test_token_is_for_its_channel_its_user_and_if_it_names_one_its_connection(self) -> None:
        user = Identity("42")
        for subject, client, identity, channel, connection, is_for in (
            ("42", "", user, "room", "5f0c", True),
            ("42", "5f0c", user, "room", "5f0c", True),
            ("42", "5f0c", user, "room", "5f0d", False),
            ("42", "5f0c", user, "room", "", False),
            ("42", "", user, "room:1", "5f0c", False),
            ("42", "", user, "Room", "5f0c", False),
            ("42", "", Identity("4"), "room", "5f0c", False),
            ("42", "", Identity(), "room", "5f0c", False),
            ("42", "", ANONYMOUS, "room", "5f0c", False),
            (None, "", user, "room", "5f0c", False),
            (None, "", Identity(), "room", "5f0c", True),
            (None, "", ANONYMOUS, "room", "5f0c", True),
        ):
            token = ChannelToken("room", subject, client, ChannelGrant())
            error = token.check(identity, channel, connection)
            self.assertIs(error, None if is_for else ClientError.TOKEN_MISMATCH, (token, identity, channel))
