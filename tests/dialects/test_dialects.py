"""Tests of `wsrelay.dialects`: where each wire language is spoken."""

from __future__ import annotations

from itertools import permutations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from wsrelay.core.access.credentials import SUBPROTOCOL_PREFIX
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.dialects import CENTRIFUGO, CENTRIFUGO_PROTOBUF, RAW, SSE, Route, find_route, subprotocols
from wsrelay.interfaces import IDialect

ROUTES = (RAW, SSE, CENTRIFUGO_PROTOBUF, CENTRIFUGO)


class RouteTests(SynchronousTestCase):
    """From a request's path to its dialect."""

    def test_prefix_path_stands_for_every_path_below_it(self) -> None:
        for path in ("/ws/chat", "/ws/", "/ws/a/b", "/ws//"):
            self.assertIs(find_route(ROUTES, path), RAW, path)

        for path in ("/sse/chat", "/sse/"):
            self.assertIs(find_route(ROUTES, path), SSE, path)

    def test_exact_path_stands_for_itself(self) -> None:
        self.assertIs(find_route(ROUTES, "/connection/websocket"), CENTRIFUGO)

    def test_protobuf_is_spoken_with_clients_that_ask_for_it(self) -> None:
        path = "/connection/websocket"
        routes = (RAW, CENTRIFUGO_PROTOBUF, CENTRIFUGO)
        for offered, query, expected in (
            ((), "", CENTRIFUGO),
            (("centrifuge-json",), "", CENTRIFUGO),
            (("centrifuge-protobuf",), "", CENTRIFUGO_PROTOBUF),
            ((), "x=1&cf_protocol=protobuf", CENTRIFUGO_PROTOBUF),
            ((), "cf_protocol=json", CENTRIFUGO),
            ((), "xcf_protocol=protobuf", CENTRIFUGO),
        ):
            self.assertIs(find_route(routes, path, offered, query), expected, (offered, query))
        self.assertIs(find_route(routes, "/ws/room", ("centrifuge-protobuf",)), RAW)

    def test_unknown_path_has_no_route(self) -> None:
        for path in (
            "",
            "/",
            "/ws",
            "/wsx/chat",
            "/WS/chat",
            "/sse",
            "/ssex/chat",
            "//ws/chat",
            "ws/chat",
            "/connection",
            "/connection/",
            "/connection/websocket/",
            "/connection/websocket/chat",
            "/connection/websockets",
            "/Connection/websocket",
            "connection/websocket",
        ):
            self.assertIsNone(find_route(ROUTES, path), path)

    def test_only_the_routes_that_are_given_are_found(self) -> None:
        self.assertIsNone(find_route([RAW], "/connection/websocket"))
        self.assertIsNone(find_route([CENTRIFUGO], "/ws/chat"))
        self.assertIsNone(find_route([], "/ws/chat"))

    def test_first_of_two_routes_that_match_is_found(self) -> None:
        below = Route("/ws/chat", "websocket", CENTRIFUGO.dialect)
        self.assertIs(find_route([below, RAW], "/ws/chat"), below)
        self.assertIs(find_route([RAW, below], "/ws/chat"), RAW)

    def test_no_path_begins_another_one_so_that_their_order_does_not_matter(self) -> None:
        for one, other in permutations(ROUTES, 2):
            # At one path are those that a client asks for, and last the one that it need not ask for.
            if one.path != other.path:
                self.assertFalse(one.path.startswith(other.path))
        self.assertEqual([bool(route.parameter) for route in ROUTES], [False, False, True, False])
        for route in ROUTES:
            self.assertTrue(route.path.startswith("/"))

    def test_each_route_has_its_transport(self) -> None:
        self.assertEqual([route.transport for route in ROUTES], ["websocket", "sse", "websocket", "websocket"])


class DialectTests(SynchronousTestCase):
    """Every dialect."""

    def test_dialects_provide_the_interface_under_names_of_their_own(self) -> None:
        for route in ROUTES:
            verifyObject(IDialect, route.dialect)
        names = [route.dialect.name for route in ROUTES]
        self.assertEqual(names, ["raw", "sse", "centrifugo-protobuf", "centrifugo-json"])

    def test_subprotocols_are_those_of_all_routes(self) -> None:
        self.assertEqual(subprotocols(ROUTES), {"wsrelay", "centrifuge-json", "centrifuge-protobuf"})
        self.assertEqual(subprotocols([RAW]), {"wsrelay"})
        self.assertEqual(subprotocols([]), frozenset())

    def test_no_subprotocol_could_hold_a_credential(self) -> None:
        """RFC 6455 section 11.3.4: the answer repeats it."""
        self.assertFalse(any(name.startswith(SUBPROTOCOL_PREFIX) for name in subprotocols(ROUTES)))

    def test_pings_of_dialects_without_one_are_those_of_the_transport(self) -> None:
        self.assertEqual(
            [route.dialect.ping() for route in ROUTES], [None, None, Message(b"\0", is_binary=True), Message(b"{}")]
        )

    def test_every_disconnect_has_a_farewell_that_fits_into_a_close_frame(self) -> None:
        for route in ROUTES:
            for disconnect in Disconnect:
                farewell = route.dialect.close(disconnect)
                self.assertTrue(1000 <= farewell.code < 5000, disconnect)
                self.assertTrue(farewell.reason.isascii())
                self.assertTrue(0 < len(farewell.reason) <= 123)
                if route is not SSE:
                    self.assertEqual(farewell.messages, ())
