"""Tests of docs/: generated pages equal their tables, and other pages name only what exists."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from devtools.attacks import scenarios
from devtools.attacks.attack import TABLE
from devtools.release.docs import FOLDER, PAGES

CHECKED_AFTERWARDS = ("logs-hold-credentials", "logs-hold-tracebacks")
"""Checks after all attacks: names on the page that are not attacks."""


class GeneratedPagesTests(SynchronousTestCase):
    """The pages that `make docs` writes."""

    def test_generated_page_equals_its_table_run_make_docs_after_a_change(self) -> None:
        for path, make in PAGES.items():
            self.assertEqual(path.read_text(encoding="utf-8"), make())

    def test_links_within_a_generated_page_have_exactly_one_heading(self) -> None:
        for make in PAGES.values():
            text = make()
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            anchors = [re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            for link in re.findall(r"\]\(#([^)]+)\)", text):
                self.assertEqual(anchors.count(link), 1, link)


class SecurityPageTests(SynchronousTestCase):
    """docs/security.md."""

    def setUp(self) -> None:
        self.page = (FOLDER / "security.md").read_text(encoding="utf-8")

    def test_security_page_names_exactly_the_attacks_that_exist(self) -> None:
        self.assertTrue(scenarios.__all__)
        named = set(re.findall(r"\*([a-z0-9]+(?:-[a-z0-9]+)+)\*", self.page))
        self.assertEqual(named, {*TABLE, *CHECKED_AFTERWARDS})

    def test_tests_named_on_the_security_page_exist(self) -> None:
        for path in re.findall(r"`(tests/[a-z_/]+\.py)`", self.page):
            self.assertTrue((FOLDER.parent / path).exists(), path)
