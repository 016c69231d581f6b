"""Generated pages and the tables they come from are the same; others point to what there is."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from devtools.attacks import acts
from devtools.attacks.attack import TABLE
from devtools.release.docs import FOLDER, PAGES

LOOKED_FOR_AFTERWARDS = ("logs-hold-credentials", "logs-hold-tracebacks")
"""What no attack does, but all of them may have brought about."""


class GeneratedPagesTests(SynchronousTestCase):
    """What `make docs` writes."""

    def test_in_step(self) -> None:
        """Every generated page is what its table makes of it: run `make docs` after a change."""
        for path, make in PAGES.items():
            self.assertEqual(path.read_text(encoding="utf-8"), make())


class SecurityPageTests(SynchronousTestCase):
    """docs/security.md points to what there is."""

    def setUp(self) -> None:
        self.page = (FOLDER / "security.md").read_text(encoding="utf-8")

    def test_attacks(self) -> None:
        """Every attack that is named is tried, and every one that is tried is named."""
        self.assertTrue(acts.__all__)
        named = set(re.findall(r"\*([a-z0-9]+(?:-[a-z0-9]+)+)\*", self.page))
        self.assertEqual(named, {*TABLE, *LOOKED_FOR_AFTERWARDS})

    def test_tests(self) -> None:
        """Every test that is named is there."""
        for path in re.findall(r"`(tests/[a-z_/]+\.py)`", self.page):
            self.assertTrue((FOLDER.parent / path).exists(), path)
