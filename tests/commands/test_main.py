"""Tests of `wsrelay.commands.main` and `wsrelay.commands.run`."""

from __future__ import annotations

import sys

import click
from twisted.scripts import twistd

from tests.commands.command_case import CommandCase
from wsrelay import __version__
from wsrelay.commands import main as module
from wsrelay.config import setting_table

_HINT = " !    wsrelay --help shows all commands.\n"


class MainTests(CommandCase):
    """The way to the subcommand."""

    def test_version_is_that_of_the_package(self) -> None:
        self.assertEqual(self.outcome("--version"), (0, f"wsrelay {__version__}\n", ""))

    def test_help_names_every_command_and_is_shown_where_none_is_named(self) -> None:
        status, text, error = self.outcome()
        self.assertEqual((status, error), (0, ""))
        for name in ("run", "websockets", "websockets:disable", "websockets:enable"):
            self.assertIn(f"\n  {name} ", text)
        self.assertEqual(self.outcome("--help"), (0, text, ""))

    def test_misspelt_command_fails_with_the_one_that_was_meant(self) -> None:
        status, text, error = self.outcome("websockets:disabel", "-a", "x")
        self.assertEqual((status, text), (1, ""))
        self.assertTrue(error.startswith(" !    No such command 'websockets:disabel'. (Did you mean"), error)
        self.assertIn("'websockets:disable'", error)
        self.assertTrue(error.endswith(_HINT))

    def test_misspelt_option_fails_with_the_one_that_was_meant(self) -> None:
        status, _text, error = self.outcome("websockets:disable", "--mesage", "x")
        self.assertEqual((status, error), (1, f" !    No such option '--mesage'. Did you mean '--message'?\n{_HINT}"))

    def test_interrupted_command_fails(self) -> None:
        def interrupt(*_arguments: object, **_options: object) -> None:
            raise click.Abort

        self.patch(module._commands, "main", interrupt)
        self.assertEqual(self.outcome("run"), (1, "", " !    Interrupted.\n"))


class RunTests(CommandCase):
    """The relay in the foreground. Real ones are in tests.integration.test_packaging."""

    def test_flags_are_passed_on_as_they_are(self) -> None:
        self.patch(sys, "argv", ["wsrelay"])
        started: list[list[str]] = []
        self.patch(twistd, "run", lambda: started.append(sys.argv))
        self.assertEqual(self.outcome("run", "--port", "8000", "--channels=a,b"), (0, "", ""))
        self.assertEqual(
            started, [["twistd", "--nodaemon", "--pidfile=", "wsrelay", "--port", "8000", "--channels=a,b"]]
        )

    def test_help_shows_every_flag_and_examples_of_this_command(self) -> None:
        status, text, error = self.outcome("run", "--help")
        self.assertEqual((status, error), (0, ""))
        for row in setting_table():
            self.assertIn(f"--{row.flag}=" if row.flag else row.variable, text)
        self.assertIn("\n  REDIS_URL=redis://localhost wsrelay run --channels", text)
        self.assertEqual(text.count("twistd"), 1)
