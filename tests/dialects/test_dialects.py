"""Tests of `wsrelay.dialects`: where each wire language is spoken."""

from __future__ import annotations

from itertools import permutations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from wsrelay.core.access.credentials import SUBPROTOCOL_PREFIX
from wsrelay.core.messaging.messages import Message
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.wire.handshake import Handshake
from wsrelay.dialects import (
    CENTRIFUGO,
    CENTRIFUGO_PROTOBUF,
    CENTRIFUGO_ROUTES,
    RAW,
    SSE,
    UNI_HTTP_STREAM,
    UNI_SSE,
    UNI_WEBSOCKET,
    Route,
    find_route,
    subprotocols,
)
from wsrelay.interfaces import IDialect

ROUTES = (RAW, SSE, *CENTRIFUGO_ROUTES)


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
        asked_for = [route for route in ROUTES if route.parameter or route.media_type]
        for asked in asked_for:
            last = [route for route in ROUTES if route.path == asked.path][-1]
            self.assertNotIn(last, asked_for)
        for route in ROUTES:
            self.assertTrue(route.path.startswith("/"))

    def test_each_route_has_its_transport(self) -> None:
        self.assertEqual({route.transport for route in (RAW, CENTRIFUGO, UNI_WEBSOCKET)}, {"websocket"})
        streams = [(route.transport, route.methods) for route in (SSE, UNI_SSE, UNI_HTTP_STREAM)]
        expected = [("sse", ("GET",)), ("event-stream", ("GET", "POST")), ("line-stream", ("POST",))]
        self.assertEqual(streams, expected)

    def test_media_type_chooses_between_routes_of_one_path(self) -> None:
        special = Route("/a", "block-stream", RAW.dialect, media_type="application/octet-stream")
        other = Route("/a", "line-stream", RAW.dialect)
        for content_type, expected in (
            ("application/octet-stream", special),
            ("Application/Octet-Stream ; x=y", special),
            ("application/json", other),
            ("", other),
            (None, other),
        ):
            self.assertIs(find_route((special, other), "/a", content_type=content_type), expected, content_type)


class DialectTests(SynchronousTestCase):
    """Every dialect."""

    def test_dialects_provide_the_interface_under_names_of_their_own(self) -> None:
        for route in ROUTES:
            verifyObject(IDialect, route.dialect)
        by_name = {route.dialect.name: type(route.dialect) for route in ROUTES}
        self.assertEqual({name for name in by_name if "-" not in name}, {"raw", "sse"})
        for route in ROUTES:
            # Encodings are shared by name: those of one name encode alike.
            self.assertIs(by_name[route.dialect.name].encode, type(route.dialect).encode)

    def test_subprotocols_are_those_of_all_routes(self) -> None:
        self.assertEqual(subprotocols(ROUTES), {"wsrelay", "centrifuge-json", "centrifuge-protobuf"})
        self.assertEqual(subprotocols([RAW]), {"wsrelay"})
        self.assertEqual(subprotocols([]), frozenset())

    def test_no_subprotocol_could_hold_a_credential(self) -> None:
        """RFC 6455 section 11.3.4: the answer repeats it."""
        self.assertFalse(any(name.startswith(SUBPROTOCOL_PREFIX) for name in subprotocols(ROUTES)))

    def test_pings_of_dialects_without_one_are_those_of_the_transport(self) -> None:
        self.assertEqual([route.dialect.ping() for route in (RAW, SSE)], [None, None])
        for route in CENTRIFUGO_ROUTES:
            is_binary = "protobuf" in route.dialect.name
            self.assertEqual(route.dialect.ping(), Message(b"\0" if is_binary else b"{}", is_binary))

    def test_only_dialects_whose_clients_connect_by_a_command_find_one_in_the_handshake(self) -> None:
        handshake = Handshake("/ws/a", "", query="cf_connect={}", body=b"{}")
        found = [route for route in ROUTES if route.dialect.first_message(handshake) is not None]
        self.assertEqual([route for route in found if not route.dialect.acceptance.has_commands], [])
        self.assertEqual([route for route in found if route in (CENTRIFUGO, CENTRIFUGO_PROTOBUF)], [])

    def test_every_disconnect_has_a_farewell_that_fits_into_a_close_frame(self) -> None:
        for route in ROUTES:
            for disconnect in Disconnect:
                farewell = route.dialect.close(disconnect)
                self.assertTrue(1000 <= farewell.code < 5000, disconnect)
                self.assertTrue(farewell.reason.isascii())
                self.assertTrue(0 < len(farewell.reason) <= 123)
                if route in (RAW, CENTRIFUGO, CENTRIFUGO_PROTOBUF):
                    self.assertEqual(farewell.messages, ())
