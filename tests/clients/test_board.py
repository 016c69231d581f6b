"""The example application, examples/board, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from devtools.harness.redis_server import RedisServer
from devtools.harness.relay import Relay
from tests.clients.browsers import PageServer, require_browser, shared_browser
from tests.support.browser import Page

BOARD = Path(__file__).parents[2] / "examples" / "board"

_CARDS = """
    Object.fromEntries([...document.querySelectorAll('.card')].map(card => [card.dataset.id, {
        x: Number(card.style.getPropertyValue('--x')),
        y: Number(card.style.getPropertyValue('--y')),
        text: card.querySelector('.text').textContent,
    }]))
"""


def _literal(value: Any) -> str:
    """Return JavaScript for the text of a value as JSON."""
    return json.dumps(json.dumps(value, separators=(",", ":")))


class BoardTests(SynchronousTestCase):
    """Two visitors, a relay that restarts, and a program beside them."""

    timeout = 90

    def setUp(self) -> None:
        """Start Redis, the relay as the example configures it, and the server of the page."""
        require_browser()
        self.redis = self.enterContext(RedisServer())
        self.programs = self.redis.client()
        self.addCleanup(self.programs.close)
        self.pages = self.enterContext(PageServer(BOARD))
        self.port = 0
        self.start_relay()

    def start_relay(self) -> None:
        """Start the relay, on the port that it had if it ran before."""
        flags = ("--config", str(BOARD / "wsrelay.toml"), "--origins", self.pages.url)
        self.relay = Relay(*flags, port=self.port, env={"REDIS_URL": self.redis.url}).start()
        self.addCleanup(self.relay.close)
        self.port = self.relay.port

    def visit(self) -> Page:
        """Open the page and wait until it is connected."""
        page = shared_browser().open(f"{self.pages.url}/?relay=ws://127.0.0.1:{self.port}/connection/websocket")
        self.addCleanup(page.evaluate, "location.replace('about:blank')")
        self.wait_until_connected(page)
        return page

    def wait_until_connected(self, page: Page) -> None:
        """Wait until a page is connected."""
        page.wait_for("document.querySelector('#status').dataset.state === 'connected'")

    def cards(self, page: Page) -> dict[str, Any]:
        """Return the cards that a page shows, by their ids."""
        found: dict[str, Any] = page.evaluate(_CARDS)
        return found

    def wait_for_text(self, page: Page, *texts: str) -> None:
        """Wait until a page shows cards with these texts and no others."""
        page.wait_for(
            f"JSON.stringify(Object.values({_CARDS}).map(card => card.text).sort()) === {_literal(sorted(texts))}"
        )

    def test_card_is_added_written_on_moved_and_removed_for_every_visitor(self) -> None:
        one, two = self.visit(), self.visit()
        one.wait_for("document.querySelectorAll('#visitors li').length === 2")
        one.bring_to_front()
        one.click("#add")
        one.type("hello")
        one.evaluate("document.activeElement.blur()")
        self.wait_for_text(two, "hello")

        before = self.cards(one)
        two.bring_to_front()
        two.evaluate("document.querySelector('.card').focus()")
        two.press("ArrowRight", 39)
        for page in (one, two):
            page.wait_for(f"JSON.stringify({_CARDS}) !== {_literal(before)}")
        self.assertEqual(self.cards(one), self.cards(two))

        late = self.visit()
        self.wait_for_text(late, "hello")
        self.assertEqual(self.cards(late), self.cards(two))
        late.click(".remove")
        self.wait_for_text(one)
        self.wait_for_text(self.visit())

    def test_dragged_card_moves_for_others_before_it_is_dropped(self) -> None:
        one, two = self.visit(), self.visit()
        self.add(id="a", x=0.1, y=0.1, text="drag me")
        for page in (one, two):
            self.wait_for_text(page, "drag me")
        one.bring_to_front()
        one.drag(".card", 200, 100)
        two.wait_for(f"Object.values({_CARDS})[0].x > 0.15")
        self.assertEqual(self.programs.xlen("wsrelay:board"), 1)
        one.drop()
        two.wait_for(f"Object.values({_CARDS})[0].y > 0.15")
        one.wait_for("!document.querySelector('.held')")
        self.assertEqual(self.cards(one), self.cards(two))

    def test_page_catches_up_over_a_restart_of_the_relay(self) -> None:
        page = self.visit()
        self.add(id="a", x=0.1, y=0.1, text="before")
        self.wait_for_text(page, "before")
        self.relay.kill()
        self.add(id="a", x=0.5, y=0.5, text="moved")
        self.add(id="b", x=0.2, y=0.2, text="meanwhile")
        self.start_relay()
        self.wait_for_text(page, "meanwhile", "moved")

    def test_what_is_no_card_is_not_drawn(self) -> None:
        page = self.visit()
        for bad in (None, 1, "text", {"id": "<b>"}, {"id": "a", "x": "1"}, {"id": "a", "x": 0, "y": 0, "text": {}}):
            self.programs.xadd("wsrelay:board", {"data": json.dumps(bad)})
        self.add(id="good", x=7, y=-7, text="<b>text</b>")
        self.wait_for_text(page, "<b>text</b>")
        self.assertEqual(self.cards(page), {"good": {"x": 1, "y": 0, "text": "<b>text</b>"}})

    def add(self, **card: Any) -> None:
        """Add a card by plain XADD."""
        self.programs.xadd("wsrelay:board", {"data": json.dumps(card)})
