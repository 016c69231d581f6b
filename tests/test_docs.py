"""Generated pages and the tables they come from are the same."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tools.docs import PAGES


class GeneratedPagesTests(SynchronousTestCase):
    """What `make docs` writes."""

    def test_in_step(self) -> None:
        """Every generated page is what its table makes of it: run `make docs` after a change."""
        for path, make in PAGES.items():
            self.assertEqual(path.read_text(encoding="utf-8"), make())
