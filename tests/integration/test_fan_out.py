"""Large audiences of the real relay, on real sockets, with io_uring where the system has it and without."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import connect

from devtools.harness.http import upgrade
from devtools.harness.relay import Relay
from tests.support.frames import read_frames
from tests.support.polling import DEADLINE_SECONDS

CROWD = 300
MESSAGES = 100


class FanOutTests(SynchronousTestCase):
    """Clients come and go while messages are sent."""

    def test_every_client_of_a_large_audience_gets_every_message_in_order(self) -> None:
        self.check()

    def test_so_does_every_client_where_io_uring_is_off(self) -> None:
        self.check("--io-uring", "false")

    def check(self, *flags: str) -> None:
        """Send messages to a crowd, of which a part leaves half-way, and whose descriptors others get."""
        with Relay(*flags) as relay:
            crowd = [self.open(relay) for _ in range(CROWD)]
            with connect(relay.ws("chat"), open_timeout=DEADLINE_SECONDS, proxy=None) as sender:
                expected = [f"message {number}" for number in range(MESSAGES)]
                rest = expected[MESSAGES // 2 :]
                for number, message in enumerate(expected):
                    if number == MESSAGES // 2:
                        for client in crowd[::3]:
                            client.close()
                        late = [self.open(relay) for _ in range(CROWD // 3)]
                    sender.send(message)
                    self.assertEqual(sender.recv(DEADLINE_SECONDS), message)
                for client in crowd[1::3] + crowd[2::3]:
                    self.assertEqual(self.read(client, expected), expected)
                for client in late:
                    self.assertEqual(self.read(client, rest), rest)

    def open(self, relay: Relay) -> socket.socket:
        """Return a socket whose handshake is complete."""
        client = socket.create_connection(("127.0.0.1", relay.port), DEADLINE_SECONDS)
        self.addCleanup(client.close)
        client.sendall(upgrade("/ws/chat"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
        return client

    def read(self, client: socket.socket, messages: list[str]) -> list[str]:
        """Return as many messages as these take on the wire, and no more."""
        size = sum(2 + len(message) for message in messages)
        data = b""
        while len(data) < size:
            data += client.recv(65536)
        return [bytes(frame.data).decode() for frame in read_frames(data)]
