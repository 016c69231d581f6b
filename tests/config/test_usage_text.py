"""Tests of `wsrelay.config.usage_text`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.config import setting_table
from wsrelay.config.usage_text import usage_text

ROWS = list(setting_table())


class UsageTextTests(SynchronousTestCase):
    """The text of --help."""

    def setUp(self) -> None:
        """Make the text for a usual terminal."""
        self.text = usage_text(ROWS, 80)
        self.lines = self.text.splitlines()
        self.headings = [line for line in self.lines if line.endswith(":") and not line.startswith(" ")]

    def test_begins_with_examples_then_groups_in_the_order_of_the_table_then_secrets(self) -> None:
        groups = list(dict.fromkeys(row.group for row in ROWS))
        self.assertEqual(self.headings, ["Examples:", *(f"{group}:" for group in groups), "Secrets:", "Information:"])

    def test_each_flag_is_listed_under_its_group_with_default_and_variable(self) -> None:
        sections = self.text.split("\n\n")
        for row in ROWS:
            if row.flag is not None:
                (section,) = (part for part in sections if part.startswith(f"{row.group}:"))
                self.assertEqual(section.count(f"  --{row.flag}={row.placeholder}\n"), 1, row.name)
                self.assertIn(row.environ[-1], section)
        self.assertIn("  --port=NUMBER\n", self.text)
        self.assertIn("  --max-outbox-bytes=BYTES\n", self.text)
        self.assertIn("[default: 8080; environment: PORT or WSRELAY_PORT]", self.text)

    def test_secrets_are_a_list_of_variables_without_flags(self) -> None:
        secrets = self.text[self.text.index("\nSecrets:") :]
        for row in ROWS:
            if row.secret:
                self.assertNotIn(f"--{row.name.replace('_', '-')}", self.text)
                self.assertIn(f"  {' or '.join((*row.environ, row.environ_file or ''))}\n", secrets)

    def test_only_commands_of_examples_are_wider_than_the_terminal(self) -> None:
        for width in (40, 80, 120):
            for line in usage_text(ROWS, width).splitlines():
                is_unbroken = len(line.split()) == 1
                self.assertTrue(len(line) <= width or "twistd" in line or is_unbroken or " or " in line, line)
