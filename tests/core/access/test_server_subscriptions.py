"""Tests of `wsrelay.core.access.server_subscriptions`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.server_subscriptions import MAX_SUBSCRIPTIONS, ServerSubscription, read_subscriptions
from wsrelay.core.outcomes.errors import ClaimError


def error_text(value: object) -> str:
    """Return the error for a claim; empty if it is valid."""
    try:
        read_subscriptions({"subs": value})
    except ClaimError as error:
        return str(error)
    return ""


class ReadSubscriptionsTests(SynchronousTestCase):
    """`read_subscriptions`."""

    def test_each_channel_has_its_options_in_order(self) -> None:
        subs = {
            "b": {"info": {"role": "host"}, "b64data": "WzFd"},
            "a:1": {},
            "c": None,
            "d": {"override": {"presence": {"value": True}}, "later": 1},
        }
        self.assertEqual(
            read_subscriptions({"subs": subs}),
            (
                ServerSubscription("b", b'{"role":"host"}', b"[1]"),
                ServerSubscription("a:1"),
                ServerSubscription("c"),
                ServerSubscription("d"),
            ),
        )

    def test_missing_null_and_empty_claim_is_no_subscription(self) -> None:
        without: list[dict[str, object]] = [{}, {"subs": None}, {"subs": {}}]
        for claims in without:
            self.assertEqual(read_subscriptions(claims), ())

    def test_number_of_channels_is_bounded(self) -> None:
        most: dict[str, object] = {f"c{n}": {} for n in range(MAX_SUBSCRIPTIONS)}
        self.assertEqual(len(read_subscriptions({"subs": most})), 128)
        self.assertEqual(error_text({**most, "more": {}}), "subs must be an object of at most 128 channels")

    def test_other_forms_are_rejected_as_a_whole_and_not_repeated(self) -> None:
        for value, error in (
            (["a"], "subs must be an object of at most 128 channels"),
            ("a", "subs must be an object of at most 128 channels"),
            (0, "subs must be an object of at most 128 channels"),
            ({"a": 1}, "subs must have an object for each channel"),
            ({"a": {}, "b": []}, "subs must have an object for each channel"),
            ({"$control": {}}, "subs must be an object of channel names"),
            ({"room:*": {}}, "subs must be an object of channel names"),
            ({"": {}}, "subs must be an object of channel names"),
            ({"a": {"b64info": "!"}}, "subs: b64info must be a text in base64"),
            ({"a": {"data": "x" * 5000}}, "subs: data must have at most 4096 bytes as JSON"),
        ):
            self.assertEqual(error_text(value), error)
