"""Tests of wsrelay.web.chat_page."""

from __future__ import annotations

import re
from importlib.resources import files

from devtools.harness.http import answers, head
from tests.support.edge import EdgeCase
from tests.support.in_memory_relay import ClientWire
from wsrelay.web.chat_page import chat_page_files

_FILES = {
    "/": ("chat.html", "text/html; charset=utf-8"),
    "/static/chat.css": ("chat.css", "text/css; charset=utf-8"),
    "/static/chat.js": ("chat.js", "text/javascript; charset=utf-8"),
}


class ChatPageTests(EdgeCase):
    """The files that a browser gets."""

    def test_file_is_served_verbatim_with_its_type_and_a_strict_policy(self) -> None:
        for path, (name, content_type) in _FILES.items():
            wire = ClientWire(self.relay())
            wire.send(head(f"GET {path} HTTP/1.1", "Host: x"))
            (answer,) = answers(wire.read())
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.body, files("wsrelay.web").joinpath("static", name).read_bytes())
            self.assertEqual(answer.headers["content-type"], content_type)
            self.assertEqual(answer.headers["cache-control"], "no-cache")
            policy = answer.headers["content-security-policy"]
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; "))
            self.assertNotIn("unsafe", policy)
            self.assertNotIn("*", policy)

    def test_every_file_is_served_and_the_page_refers_to_no_other(self) -> None:
        names = {entry.name for entry in files("wsrelay.web").joinpath("static").iterdir()}
        self.assertEqual(names, {name for name, _ in _FILES.values()})
        self.assertEqual({"", "chat.css", "chat.js"}, set(chat_page_files()))
        page = files("wsrelay.web").joinpath("static", "chat.html").read_text()
        for reference in re.findall(r'(?:src|href)="([^"]*)"', page):
            self.assertTrue(
                reference.startswith("data:") or reference.lstrip("/") in {path.lstrip("/") for path in _FILES},
                reference,
            )
        self.assertNotIn("style=", page)
        self.assertNotIn("onclick=", page)
