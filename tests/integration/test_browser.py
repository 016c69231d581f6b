"""The chat page in a real browser, against a real relay."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.trial import unittest
from websockets.sync.client import connect

from devtools.harness.relay import Relay
from tests.support.browser import Browser, Page, find_browser

NO_BROWSER = "no Chromium or Chrome found on PATH"

_CONNECTED = "document.querySelector('#status').dataset.state === 'open'"


def _rows(page: Page) -> list[dict[str, Any]]:
    """Return kind, sender and text of every message shown."""
    rows: list[dict[str, Any]] = page.evaluate(
        "[...document.querySelectorAll('#messages li:not(.note)')].map(li => ({"
        " kind: li.classList[0],"
        " who: li.querySelector('.who').textContent,"
        " text: li.querySelector('.body').textContent}))"
    )
    return rows


def _wait_for_rows(page: Page, count: int) -> list[dict[str, Any]]:
    """Return the messages shown once there are `count` of them."""
    page.wait_for(f"document.querySelectorAll('#messages li:not(.note)').length >= {count}")
    return _rows(page)


def _send(page: Page, name: str, text: str) -> None:
    """Type a name and a message as a visitor does, and press Enter."""
    page.evaluate("document.querySelector('#name').select()")
    page.type(name)
    page.evaluate("document.querySelector('#text').focus()")
    page.type(text)
    page.press_enter()


def require_browser() -> None:
    """Skip the test without a browser; fail it in continuous integration, where a skip would go unnoticed."""
    if find_browser() is None:
        if os.environ.get("CI"):
            raise AssertionError(NO_BROWSER)
        raise unittest.SkipTest(NO_BROWSER)


class ChatPageTests(unittest.SynchronousTestCase):
    """The chat page as its visitors use it."""

    def setUp(self) -> None:
        """Start a relay and a browser, both ended with the test."""
        require_browser()
        self.relay = self.enterContext(Relay())
        self.browser = self.enterContext(Browser())

    def visit(self) -> Page:
        """Return a new tab that shows the page, connected."""
        page = self.browser.open(self.relay.url + "/")
        page.wait_for(_CONNECTED)
        return page

    def publish(self, message: str | bytes) -> None:
        """Publish a message as a client that does not use the page."""
        with connect(self.relay.ws("chat"), proxy=None) as socket:
            socket.send(message)
            socket.recv(timeout=10)

    def test_two_tabs_exchange_messages(self) -> None:
        """Each tab shows both messages, marks its own, and empties the text field."""
        ada, ben = self.visit(), self.visit()
        _send(ada, "Ada", "hello, is anybody here?")
        _wait_for_rows(ben, 1)
        _send(ben, "Ben", "yes: grüße ☕")
        first = {"who": "Ada", "text": "hello, is anybody here?"}
        second = {"who": "Ben", "text": "yes: grüße ☕"}
        self.assertEqual(
            _wait_for_rows(ada, 2),
            [{**first, "kind": "own", "who": "Ada (you)"}, {**second, "kind": "peer"}],
        )
        self.assertEqual(
            _wait_for_rows(ben, 2),
            [{**first, "kind": "peer"}, {**second, "kind": "own", "who": "Ben (you)"}],
        )
        self.assertEqual(ada.evaluate("document.querySelector('#text').value"), "")

    def test_messages_of_other_programs_are_shown_verbatim(self) -> None:
        """Binary messages are shown by their length."""
        page = self.visit()
        texts = [
            "hello",
            '{"name": "x"}',
            '{"name": "x", "text": "y", "more": 1}',
            "[1, 2]",
            "null",
            " two\n lines ",
        ]
        for text in texts:
            self.publish(text)
        self.publish(b"\x00\xff\x01")
        expected = [{"kind": "outside", "who": "PUBLISH", "text": text} for text in [*texts, "3 bytes"]]
        self.assertEqual(_wait_for_rows(page, len(expected)), expected)

    def test_markup_is_shown_as_text_and_never_runs(self) -> None:
        page = self.visit()
        markup = "<img src=x onerror='window.ran = 1'><script>window.ran = 1</script><b>bold</b>"
        self.publish(markup)
        self.publish(json.dumps({"name": markup, "text": markup}))
        outside, chat = _wait_for_rows(page, 2)
        self.assertEqual(outside["text"], markup)
        self.assertEqual((chat["kind"], chat["who"], chat["text"]), ("peer", markup, markup))
        self.assertEqual(page.evaluate("document.querySelectorAll('li :is(img, script, b)').length"), 0)
        self.assertFalse(page.evaluate("'ran' in window"))

    def test_page_reconnects_after_a_restart_and_keeps_the_draft(self) -> None:
        page = self.visit()
        page.evaluate("document.querySelector('#text').focus()")
        page.type("a draft")
        port = self.relay.port
        self.relay.stop()
        page.wait_for(f"!({_CONNECTED})")
        self.assertTrue(page.evaluate("document.querySelector('#send').disabled"))
        page.press_enter()
        self.assertEqual(page.evaluate("document.querySelector('#text').value"), "a draft")
        self.relay = self.enterContext(Relay(port=port))
        page.wait_for(_CONNECTED, 30.0)
        page.press_enter()
        self.assertEqual([row["text"] for row in _wait_for_rows(page, 1)], ["a draft"])

    def test_message_above_the_limit_is_not_sent_and_stays_in_the_field(self) -> None:
        page = self.visit()
        page.evaluate("document.querySelector('#text').value = 'é'.repeat(32768)")
        page.evaluate("document.querySelector('#send').click()")
        self.assertIn("Too long", page.evaluate("document.querySelector('#problem').textContent"))
        self.assertEqual(page.evaluate("document.querySelector('#text').value.length"), 32768)
        self.assertTrue(page.evaluate(_CONNECTED))

    def test_nothing_is_wider_than_a_screen_of_320_pixels(self) -> None:
        page = self.visit()
        page.resize(320, 568, mobile=True)
        self.publish("x" * 2000)
        self.publish(json.dumps({"name": "n" * 500, "text": "https://example.org/" + "y" * 500}))
        _wait_for_rows(page, 2)
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 320)
        rights = "[...document.querySelectorAll('body *')].map(e => e.getBoundingClientRect().right)"
        self.assertLessEqual(max(page.evaluate(rights)), 320)
