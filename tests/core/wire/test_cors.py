"""Tests of `wsrelay.core.wire.cors`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.wire.cors import VARY, cors_headers, preflight_headers


class CORSTests(SynchronousTestCase):
    """Header fields for pages of other origins."""

    def test_page_of_a_checked_origin_may_read_the_response_and_send_cookies(self) -> None:
        fields = dict(cors_headers("https://a.example"))
        self.assertEqual(
            fields,
            {
                "Vary": "Origin",
                "Access-Control-Allow-Origin": "https://a.example",
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Expose-Headers": "X-Connection-Id",
            },
        )

    def test_response_without_an_origin_depends_on_it_all_the_same(self) -> None:
        self.assertEqual(cors_headers(None), (VARY,))

    def test_origin_outside_ascii_is_not_repeated(self) -> None:
        """It is none, and a head holds ASCII only. Where all origins are allowed it has passed."""
        self.assertEqual(cors_headers("https://\xfc.example"), (VARY,))

    def test_preflight_permits_what_clients_made_with_fetch_send(self) -> None:
        fields = dict(preflight_headers("null"))
        self.assertEqual(fields["Access-Control-Allow-Origin"], "null")
        self.assertEqual(fields["Access-Control-Allow-Methods"], "GET")
        self.assertEqual(
            fields["Access-Control-Allow-Headers"], "Authorization, Cache-Control, Content-Type, Last-Event-ID"
        )
        self.assertEqual(fields["Access-Control-Max-Age"], "7200")
