"""The chat page in a real browser, against a real relay."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

from twisted.trial import unittest
from websockets.sync.client import connect

from devtools.harness.ports import free_port
from devtools.harness.proxy import Direction
from devtools.harness.relay import Relay
from devtools.harness.stub_application import ThreadedStubApplication
from tests.support.browser import Browser, Page, find_browser
from tests.support.threaded_proxy import ThreadedProxy

NO_BROWSER = "no Chromium or Chrome found on PATH"

_CONNECTED = "document.querySelector('#status').dataset.state === 'open'"


def _rows(page: Page) -> list[dict[str, Any]]:
    """Return kind, sender and text of every message shown."""
    rows: list[dict[str, Any]] = page.evaluate(
        "[...document.querySelectorAll('#messages li:not(.note, .gap)')].map(li => ({"
        " kind: li.classList[0],"
        " who: li.querySelector('.who').textContent,"
        " text: li.querySelector('.body').textContent}))"
    )
    return rows


def _wait_for_rows(page: Page, count: int) -> list[dict[str, Any]]:
    """Return the messages shown once there are `count` of them."""
    page.wait_for(f"document.querySelectorAll('#messages li:not(.note, .gap)').length >= {count}")
    return _rows(page)


def _send(page: Page, name: str, text: str) -> None:
    """Type a name and a message as a visitor does, and press Enter."""
    page.evaluate("document.querySelector('#name').select()")
    page.type(name)
    page.evaluate("document.querySelector('#text').focus()")
    page.type(text)
    page.press_enter()


def _begin(page: Page, state: str = "open") -> None:
    """Begin to write a message, so that the page opens its socket, and wait for the state of that."""
    page.evaluate("document.querySelector('#text').focus()")
    page.type("x")
    _wait_for_sender(page, state)
    page.evaluate("document.querySelector('#text').value = ''")


def _wait_for_sender(page: Page, state: str) -> None:
    """Wait until the page's socket is in a state."""
    page.wait_for(f"document.querySelector('#composer').dataset.sender === '{state}'")


def require_browser() -> None:
    """Skip the test without a browser; fail it in continuous integration, where a skip would go unnoticed."""
    if find_browser() is None:
        if os.environ.get("CI"):
            raise AssertionError(NO_BROWSER)
        raise unittest.SkipTest(NO_BROWSER)


def _notices(page: Page) -> list[str]:
    """Return every notice that is shown outside the list of messages."""
    notices: list[str] = page.evaluate(
        "[...document.querySelectorAll('#why, #problem, .read-only')]"
        ".filter(e => e.checkVisibility() && e.textContent).map(e => e.textContent)"
    )
    return notices


def _pending(page: Page) -> list[list[str]]:
    """Return text and state of each own message that is not delivered."""
    rows: list[list[str]] = page.evaluate(
        "[...document.querySelectorAll('li.pending, li.unsent')].map(li =>"
        " [li.querySelector('.body').textContent, li.querySelector('time').textContent])"
    )
    return rows


class _BrowserCase(unittest.SynchronousTestCase):
    """A test with a browser."""

    def setUp(self) -> None:
        """Start a browser, ended with the test."""
        require_browser()
        self.browser = self.enterContext(Browser())

    def show(self, url: str, state: str = "open") -> Page:
        """Return a new tab that shows the page, in a state."""
        page = self.browser.open(url + "/")
        self.wait_for_state(page, state)
        return page

    def wait_for_state(self, page: Page, state: str) -> None:
        """Wait until the page is in a state and says so."""
        page.wait_for(f"document.querySelector('#status').dataset.state === '{state}'")

    def wait_for_notice(self, page: Page, text: str) -> None:
        """Wait for the reason that the page shows, and check that it is the only one."""
        page.wait_for(f"document.querySelector('#why').textContent.includes({json.dumps(text)})")
        self.assertEqual(len(_notices(page)), 1)


class RejectedPageTests(_BrowserCase):
    """The page where it may not connect, or not publish: it says why, once."""

    def test_rejected_stream_shows_the_sentence_of_the_relay(self) -> None:
        for flags, sentence in (
            (["--origins", "https://other.example"], "Pages of this origin may not connect"),
            (["--channels", "news", "--chat-page", "true"], "This channel does not exist for clients"),
            (["--publish", "chat", "--access", "token", "--chat-page", "true"], "This channel needs a credential"),
        ):
            with Relay(*flags) as relay:
                page = self.show(relay.url, "stopped")
                (notice,) = _notices(page)
                self.assertIn(sentence, notice)
                page.resize(320, 568, mobile=True)
                self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 320)

    def test_stream_that_the_application_rejects_shows_its_sentence(self) -> None:
        """Nothing but the stream itself asks the application."""
        application = ThreadedStubApplication(lambda _request: (403, None))
        self.addCleanup(application.close)
        with Relay("--publish", "chat", "--hook-url", application.url, "--chat-page", "true") as relay:
            page = self.browser.open(relay.url + "/healthz")
            page.evaluate("document.cookie = 'session=1'; location.href = '/'")
            page.wait_for("document.querySelector('#status')?.dataset.state === 'stopped'")
            (notice,) = _notices(page)
            self.assertIn("(HTTP 403)", notice)

    def test_draft_stays_in_the_field_of_a_page_that_has_stopped(self) -> None:
        with Relay("--origins", "https://other.example") as relay:
            page = self.show(relay.url, "stopped")
            page.evaluate("document.querySelector('#text').focus()")
            page.type("a draft")
            page.press_enter()
            self.assertEqual(page.evaluate("document.querySelector('#text').value"), "a draft")
            self.assertIn("not sent", page.evaluate("document.querySelector('#problem').textContent"))

    def test_relay_without_redis_shows_its_sentence_and_keeps_trying(self) -> None:
        flags = ["--chat-page", "true"]
        with Relay(*flags, env={"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}, ready=False) as relay:
            page = self.browser.open(relay.url + "/")
            self.wait_for_notice(page, "no working connection to Redis")
            self.wait_for_state(page, "waiting")

    def test_relay_that_is_gone_cannot_be_reached(self) -> None:
        with Relay() as relay:
            page = self.show(relay.url)
        self.wait_for_notice(page, "The relay cannot be reached")
        self.assertIn(page.evaluate("document.querySelector('#status').dataset.state"), ("waiting", "connecting"))

    def test_proxy_that_drops_the_upgrade_is_named(self) -> None:
        with Relay() as relay, ThreadedProxy(relay.port) as proxy:
            drop = proxy.proxy.mangled(Direction.UP, lambda data: data.replace(b"Upgrade: websocket\r\n", b""))
            with drop:
                page = self.show(proxy.url)
                _send(page, "Ada", "hello")
                self.wait_for_notice(page, "does not pass the Upgrade header on")
                self.assertEqual(_pending(page), [["hello", "not sent yet"]])
            _wait_for_sender(page, "open")
            self.assertEqual([row["text"] for row in _wait_for_rows(page, 1)], ["hello"])
            self.assertEqual(_notices(page), [])

    def test_read_only_channel_has_no_composer(self) -> None:
        with Relay("--channels", "chat", "--chat-page", "true") as relay:
            page = self.show(relay.url)
            self.assertEqual(_notices(page), ["Read-only: clients may not publish on this channel."])
            self.assertFalse(page.evaluate("document.querySelector('#composer').checkVisibility()"))

    def test_message_that_may_not_be_published_is_marked_and_the_reason_shown_once(self) -> None:
        application = ThreadedStubApplication(
            lambda request: (403 if request.json()["event"] == "publish" else 204, None)
        )
        self.addCleanup(application.close)
        with Relay("--hook-url", application.url, "--hook-publish", "true") as relay:
            page = self.show(relay.url)
            _send(page, "Ada", "hello")
            _wait_for_sender(page, "stopped")
            self.assertEqual(_notices(page), ["publishing not permitted (code 4503)"])
            self.assertEqual(_pending(page), [["hello", "may not have arrived"]])
            page.click("#again")
            _wait_for_sender(page, "open")
            self.assertEqual(_notices(page), [])
            self.assertEqual(page.evaluate("document.activeElement.id"), "text")

    def test_visitor_who_is_disconnected_needs_a_new_credential(self) -> None:
        application = ThreadedStubApplication(lambda _request: (200, {"sub": "42"}))
        self.addCleanup(application.close)
        key = "0123456789abcdef"
        flags = ("--publish", "chat", "--hook-url", application.url, "--chat-page", "true")
        with Relay(*flags, env={"WSRELAY_API_KEYS": key}) as relay:
            page = self.browser.open(relay.url + "/healthz")
            page.evaluate("document.cookie = 'session=1'; location.href = '/'")
            page.wait_for("document.querySelector('#status')?.dataset.state === 'open'")
            call = urllib.request.Request(
                f"{relay.url}/api/disconnect", b'{"user": "42"}', {"Authorization": f"Bearer {key}"}
            )
            with urllib.request.urlopen(call, timeout=10):
                self.wait_for_state(page, "stopped")
            (notice,) = _notices(page)
            self.assertIn("(code 4505). This page has no way to get a new credential", notice)


class MembersTests(_BrowserCase):
    """The list of members."""

    def test_each_visitor_is_one_also_while_writing_and_gone_when_the_tab_is(self) -> None:
        with Relay() as relay:
            ada, ben = self.show(relay.url), self.show(relay.url)
            for page, name in ((ada, "Ada"), (ben, "Ben")):
                _send(page, name, f"I am {name}")
            for page in (ada, ben):
                page.wait_for("document.querySelector('#count').textContent === '2 here'")
                self.assertEqual(len(_wait_for_rows(page, 2)), 2)
            cleo = self.show(relay.url)
            for page in (ada, ben, cleo):
                page.wait_for("document.querySelector('#count').textContent === '3 here'")
            ben.evaluate("location.href = 'about:blank'")
            for page in (ada, cleo):
                # A leave is told when it is certain that it was no reload.
                page.wait_for("document.querySelector('#count').textContent === '2 here'")
            self.assertEqual(ada.evaluate("document.querySelector('#members').textContent"), "2 without a name")

    def test_users_are_named_once_and_as_text(self) -> None:
        user = "<b>Ada</b>"
        application = ThreadedStubApplication(lambda _request: (200, {"sub": user}))
        self.addCleanup(application.close)
        with Relay("--hook-url", application.url) as relay:
            page = self.browser.open(relay.url + "/healthz")
            page.evaluate("document.cookie = 'session=1'")
            for _ in range(2):
                page = self.show(relay.url)
            page.wait_for("document.querySelector('#count').textContent === '1 here'")
            self.assertEqual(page.evaluate("document.querySelector('#members').textContent"), user)

    def test_nothing_is_shown_where_the_relay_does_not_tell(self) -> None:
        with Relay("--publish", "chat", "--chat-page", "true") as relay:
            page = self.show(relay.url)
            page.wait_for("performance.getEntriesByType('resource').some(each => each.name.endsWith('/presence/chat'))")
            self.assertTrue(page.evaluate("document.querySelector('#here').hidden"))
            _send(page, "Ada", "hello")
            self.assertEqual(len(_wait_for_rows(page, 1)), 1)


class LinkTests(_BrowserCase):
    """The page on a link that fails."""

    def setUp(self) -> None:
        """Start a relay, a proxy in front of it, and the browser."""
        super().setUp()
        self.relay = self.enterContext(Relay())
        self.proxy = self.enterContext(ThreadedProxy(self.relay.port))

    def test_message_on_a_dead_link_is_shown_as_pending_and_sent_after_the_reconnect(self) -> None:
        """It is shown once, also to pages that had received it before the link broke."""
        other = self.show(self.relay.url)
        for directions, text in (((Direction.UP, Direction.DOWN), "lost"), ((Direction.DOWN,), "echo lost")):
            page = self.show(self.proxy.url)
            _begin(page)
            with self.proxy.proxy.stall(*directions):
                _send(page, "Ada", text)
                self.assertEqual(_pending(page), [[text, "sending"]])
                if directions == (Direction.DOWN,):
                    other.wait_for(f"document.body.textContent.includes({json.dumps(text)})")
                self.proxy.cut()
                self.wait_for_state(page, "waiting")
                self.assertEqual(_pending(page), [[text, "not sent yet"]])
            self.wait_for_state(page, "open")
            page.wait_for("!document.querySelector('li.pending')")
            self.assertEqual(_rows(page)[-1], {"kind": "own", "who": "Ada (you)", "text": text})
            self.assertEqual([row["text"] for row in _rows(page)].count(text), 1)
        _send(other, "Ben", "the last one")
        texts = [row["text"] for row in _wait_for_rows(other, 3)]
        self.assertEqual(texts, ["lost", "echo lost", "the last one"])

    def test_page_catches_up_on_what_was_said_while_the_link_was_down(self) -> None:
        page, other = self.show(self.proxy.url), self.show(self.relay.url)
        _send(other, "Ben", "first")
        _wait_for_rows(page, 1)
        with self.proxy.proxy.closing_at_once():
            self.proxy.cut()
            self.wait_for_state(page, "waiting")
            for number in range(3):
                _send(other, "Ben", f"meanwhile {number}")
            _wait_for_rows(other, 4)
        self.wait_for_state(page, "open")
        texts = [row["text"] for row in _wait_for_rows(page, 4)]
        self.assertEqual(texts, ["first", "meanwhile 0", "meanwhile 1", "meanwhile 2"])
        self.assertEqual(page.evaluate("document.querySelectorAll('li.gap, li.note').length"), 0)

    def test_page_of_a_plain_channel_says_that_it_may_have_missed_something(self) -> None:
        with Relay("--publish", "chat", "--chat-page", "true") as relay, ThreadedProxy(relay.port) as proxy:
            page = self.show(proxy.url)
            _send(page, "Ada", "before")
            _wait_for_rows(page, 1)
            proxy.cut()
            page.wait_for("!!document.querySelector('li.note')")
            self.assertIn("not shown", page.evaluate("document.querySelector('li.note').textContent"))

    def test_silent_link_is_given_up_although_it_seems_open(self) -> None:
        page = self.show(self.proxy.url)
        _begin(page)
        with self.proxy.proxy.stall(Direction.DOWN):
            _send(page, "Ada", "hello")
            self.wait_for_notice(page, "The relay stopped responding")
        self.wait_for_state(page, "open")
        self.assertEqual([row["text"] for row in _wait_for_rows(page, 1)], ["hello"])

    def test_messages_written_while_disconnected_wait_in_order_and_are_bounded(self) -> None:
        page = self.show(self.proxy.url)
        with self.proxy.proxy.closing_at_once():
            self.proxy.cut()
            page.wait_for(f"!({_CONNECTED})")
            page.evaluate("document.querySelector('#text').focus()")
            for number in range(21):
                page.type(f"message {number}")
                page.press_enter()
            self.assertEqual(len(_pending(page)), 20)
            self.assertEqual(page.evaluate("document.querySelector('#text').value"), "message 20")
        page.wait_for(_CONNECTED)
        rows = _wait_for_rows(page, 20)
        self.assertEqual([row["text"] for row in rows], [f"message {number}" for number in range(20)])

    def test_offline_page_says_so_and_is_back_as_soon_as_it_is_online(self) -> None:
        page = self.show(self.proxy.url)
        with self.proxy.proxy.closing_at_once():
            page.set_offline(True)
            self.proxy.cut()
            self.wait_for_notice(page, "This device is offline")
        page.set_offline(False)
        self.wait_for_state(page, "open")
        self.assertEqual(_notices(page), [])

    def test_focus_stays_in_the_field(self) -> None:
        page = self.show(self.proxy.url)
        page.evaluate("document.querySelector('#text').value = 'hello'")
        page.click("#send")
        self.assertEqual(page.evaluate("document.activeElement.id"), "text")
        with self.proxy.proxy.closing_at_once():
            self.proxy.cut()
            page.wait_for("!document.querySelector('#notice').hidden")
            self.assertEqual(page.evaluate("document.activeElement.id"), "text")
            # A keyboard user stands on the button when the page connects by itself.
            page.evaluate("document.querySelector('#again').focus()")
        self.wait_for_state(page, "open")
        self.assertEqual(page.evaluate("document.activeElement.id"), "text")


class ChatPageTests(_BrowserCase):
    """The chat page as its visitors use it."""

    def setUp(self) -> None:
        """Start a relay and the browser."""
        super().setUp()
        self.relay = self.enterContext(Relay())

    def visit(self) -> Page:
        """Return a new tab that shows the page, connected."""
        return self.show(self.relay.url)

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
        expected = [{"kind": "outside", "who": "XADD", "text": text} for text in texts]
        self.assertEqual(_wait_for_rows(page, len(expected)), expected)

    def test_binary_messages_are_shown_by_their_length_where_the_channel_is_binary(self) -> None:
        with Relay("--frames", "binary") as relay:
            page = self.show(relay.url)
            with connect(relay.ws("chat"), proxy=None) as socket:
                socket.send(b"\x00\xff\x01")
                socket.send("grüße")
            _send(page, "Ada", "hello")
            self.assertEqual([row["text"] for row in _wait_for_rows(page, 3)], ["3 bytes", "grüße", "hello"])

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

    def test_visitor_sees_what_was_said_before_and_when(self) -> None:
        self.publish("long ago")
        ada = self.visit()
        _send(ada, "Ada", "before")
        _wait_for_rows(ada, 2)
        page = self.visit()
        first, second = _wait_for_rows(page, 2)
        self.assertEqual((first["text"], second["kind"], second["who"]), ("long ago", "peer", "Ada"))
        shown = "[...document.querySelectorAll('#messages time')].map(time => time.dateTime)"
        times = page.evaluate(shown)
        # They are those of the entries, and not of the visit.
        later = self.visit()
        _wait_for_rows(later, 2)
        self.assertEqual(later.evaluate(shown), times)

    def test_old_lines_are_removed(self) -> None:
        page = self.visit()
        for begin in range(0, 600, 60):  # below the relay's limit for one client
            with connect(self.relay.ws("chat?subscribe=false"), proxy=None) as socket:
                for number in range(begin, begin + 60):
                    socket.send(str(number))
        page.wait_for("document.querySelector('#messages').lastElementChild?.textContent.includes('599')")
        self.assertEqual(len(_rows(page)), 500)

    def test_page_reconnects_after_a_restart_and_keeps_the_draft(self) -> None:
        """The embedded broker's history is gone with its process, and that is said."""
        page = self.visit()
        self.publish("before")
        _wait_for_rows(page, 1)
        page.evaluate("document.querySelector('#text').focus()")
        page.type("a draft")
        port = self.relay.port
        self.relay.stop()
        page.wait_for(f"!({_CONNECTED})")
        self.relay = self.enterContext(Relay(port=port))
        page.wait_for(_CONNECTED)
        self.assertEqual(page.evaluate("document.querySelector('#text').value"), "a draft")
        page.press_enter()
        self.assertEqual([row["text"] for row in _wait_for_rows(page, 2)], ["before", "a draft"])
        gap = page.evaluate("document.querySelector('li.gap').textContent")
        self.assertTrue(gap.startswith("Messages may be missing here: "), gap)

    def test_message_above_the_limit_is_not_sent_and_stays_in_the_field(self) -> None:
        page = self.visit()
        page.evaluate("document.querySelector('#text').value = 'é'.repeat(32768)")
        page.evaluate("document.querySelector('#send').click()")
        self.assertIn("Too long", page.evaluate("document.querySelector('#problem').textContent"))
        self.assertEqual(page.evaluate("document.querySelector('#text').value.length"), 32768)
        self.assertTrue(page.evaluate(_CONNECTED))

    def test_every_control_has_a_name_and_is_reached_by_the_keyboard(self) -> None:
        page = self.visit()
        page.evaluate("document.querySelector('#log').focus()")
        self.assertEqual([page.press_tab() for _ in range(3)], ["name", "text", "send"])
        self.assertEqual(
            sorted(page.controls()),
            [("button", "Send"), ("log", "Messages"), ("textbox", "Message"), ("textbox", "Name")],
        )

    def test_nothing_is_wider_than_a_screen_of_320_pixels(self) -> None:
        page = self.visit()
        page.resize(320, 568, mobile=True)
        self.publish("x" * 2000)
        self.publish(json.dumps({"name": "n" * 500, "text": "https://example.org/" + "y" * 500}))
        _wait_for_rows(page, 2)
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 320)
        rights = "[...document.querySelectorAll('body *')].map(e => e.getBoundingClientRect().right)"
        self.assertLessEqual(max(page.evaluate(rights)), 320)
