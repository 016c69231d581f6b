"""Tests of wsrelay.web.chat_page."""

from __future__ import annotations

import re
import shlex
from html import escape
from importlib.resources import files
from typing import Any

from devtools.harness.http import Answer, answers, head
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from wsrelay.config.redis_url import RedisURL
from wsrelay.core.access.secret import Secret
from wsrelay.core.messaging.frame_type import FrameType
from wsrelay.core.messaging.namespaces import Access
from wsrelay.web.chat_page import ChatPage, chat_page_files

_FILES = {
    "/": ("chat.html", "text/html; charset=utf-8"),
    "/static/chat.css": ("chat.css", "text/css; charset=utf-8"),
    **{
        f"/static/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("chat", "members", "messages", "page", "receiver", "sender")
    },
}


_FACTS = ChatPage("chat", None, is_read_only=False, has_api=False, max_message_bytes=65536)

_KEYS = (Secret("0123456789abcdef"),)


def _redis(**settings: Any) -> dict[str, Any]:
    return {"redis_url": RedisURL.parse("redis://:swordfish@redis.internal:6380/3"), "chat_page": True, **settings}


class _PageCase(EdgeCase):
    """Requests for files of the page."""

    def get(self, path: str, **settings: Any) -> Answer:
        """Return the response to a GET."""
        wire = ClientWire(self.relay(**settings))
        wire.send(head(f"GET {path} HTTP/1.1", "Host: x"))
        (answer,) = answers(wire.read())
        return answer

    def page(self, **settings: Any) -> str:
        """Return the page of a relay with these settings."""
        return self.get("/", **settings).body.decode()


class ChatPageTests(_PageCase):
    """The files that a browser gets."""

    def test_file_is_served_with_its_type_and_a_strict_policy(self) -> None:
        for path, (name, content_type) in _FILES.items():
            answer = self.get(path)
            self.assertEqual(answer.status, 200)
            if name != "chat.html":
                self.assertEqual(answer.body, files("wsrelay.web").joinpath("static", name).read_bytes())
            self.assertEqual(answer.headers["content-type"], content_type)
            self.assertEqual(answer.headers["cache-control"], "no-cache")
            policy = answer.headers["content-security-policy"]
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; "))
            self.assertNotIn("unsafe", policy)

    def test_policy_lets_scripts_connect_to_the_relay_and_to_this_machine_only(self) -> None:
        """It holds for the page at the root without the chat page, too, whose console visitors use."""
        for settings in ({}, {"chat_page": False}):
            policy = self.get("/", **settings).headers["content-security-policy"]
            sources = re.findall(r"connect-src ([^;]*)", policy)
            local = "http://localhost:* ws://localhost:* http://127.0.0.1:* ws://127.0.0.1:*"
            self.assertEqual(sources, [f"'self' {local}"])
        self.assertNotIn("connect-src", self.get("/healthz").headers["content-security-policy"])

    def test_every_file_is_served_and_the_page_refers_to_no_other(self) -> None:
        names = {entry.name for entry in files("wsrelay.web").joinpath("static").iterdir()}
        self.assertEqual(names, {name for name, _ in _FILES.values()})
        self.assertEqual({path.rpartition("/")[2] for path in _FILES}, set(chat_page_files(_FACTS)))
        page = self.page()
        for reference in re.findall(r'(?:src|href)="([^"]*)"', page):
            self.assertTrue(
                reference.startswith("data:") or reference.lstrip("/") in {path.lstrip("/") for path in _FILES},
                reference,
            )
        modules = [name for name, _ in _FILES.values() if name.endswith(".js")]
        for name in modules:
            self.assertIn(f'"static/{name}"', page)
            script = files("wsrelay.web").joinpath("static", name).read_text(encoding="utf-8")
            self.assertLessEqual({*re.findall(r'from "\./([^"]*)"', script)}, {*modules}, name)
            self.assertNotIn("innerHTML", script)
        self.assertNotIn("style=", page)
        self.assertNotIn("onclick=", page)


class FactsTests(_PageCase):
    """The facts about its relay that the page shows."""

    def test_hint_with_redis_is_a_command_with_the_prefix_and_names_neither_server_nor_password(self) -> None:
        page = self.page(**_redis(prefix="app:"))
        self.assertIn("<code>redis-cli XADD app:chat '*' data 'hello'</code>", page)
        self.assertIn("<code>app:chat</code>", page)
        for part in ("swordfish", "redis.internal", "6380"):
            self.assertNotIn(part, page)

    def test_prefix_is_quoted_for_the_shell_and_for_html(self) -> None:
        page = self.page(**_redis(prefix="<b>$(x)'"))
        quoted = escape(shlex.quote("<b>$(x)'chat"))
        self.assertIn(f"redis-cli XADD {quoted} '*' data 'hello'", page)
        self.assertNotIn("<b>", page)

    def test_hint_without_redis_is_the_api_or_says_that_there_is_no_redis(self) -> None:
        self.assertIn("runs without Redis", self.page())
        self.assertNotIn("PUBLISH wsrelay:chat", self.page())
        self.assertIn("<code>chat</code>", self.page())
        page = self.page(api_keys=_KEYS)
        self.assertIn('--data-binary hello <span id="api">/api/publish/chat</span>', page)
        self.assertNotIn(_KEYS[0].reveal(), page)
        self.assertNotIn("PUBLISH", page)

    def test_hint_of_a_plain_channel_is_publish_and_the_page_says_that_nothing_is_kept(self) -> None:
        page = self.page(**_redis(publish=("chat",)))
        self.assertIn("<code>redis-cli PUBLISH wsrelay:chat 'hello'</code>", page)
        self.assertIn("There is no history.", page)
        self.assertIn('data-history="0"', page)

    def test_page_asks_for_as_much_history_as_the_channel_keeps_and_fifty_at_most(self) -> None:
        for settings, history in (({}, 50), ({"publish": ("chat",), "history_size": 7}, 7), ({"channels": ("a",)}, 0)):
            page = self.page(chat_page=True, **settings)
            self.assertIn(f'data-history="{history}"', page)
        self.assertNotIn("There is no history.", self.page())

    def test_page_decodes_what_a_binary_channel_carries(self) -> None:
        self.assertIn('data-base64="false"', self.page())
        self.assertIn('data-base64="true"', self.page(frames=FrameType.BINARY))

    def test_page_is_read_only_where_no_visitor_may_publish(self) -> None:
        for settings, is_read_only in (
            ({}, False),
            ({"channels": ("chat",)}, True),
            ({"publish": ("chat",)}, False),
            ({"channels": ("news",)}, True),
            ({"publish": ("chat",), "access": Access.AUTHENTICATED}, True),
            # A cookie of the visitor may permit it.
            ({"publish": ("chat",), "access": Access.AUTHENTICATED, "hook_url": "https://app.example"}, False),
        ):
            self.assertIn(f'data-read-only="{str(is_read_only).lower()}"', self.page(chat_page=True, **settings))

    def test_page_has_the_limit_of_messages(self) -> None:
        self.assertIn('data-max-message-bytes="1000"', self.page(max_message_bytes=1000))
