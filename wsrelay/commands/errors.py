"""The errors of commands, in the form of Heroku's command line."""

from __future__ import annotations

import click

from wsrelay.core.outcomes.errors import WsrelayError

__all__ = ["CommandError", "print_error"]


class CommandError(WsrelayError):
    """A command failed; the text says why and what to do, and holds no credential."""


def print_error(text: str) -> None:
    """Print the reason for a failure on the standard error.

    Args:
        text: The reason and its remedy.
    """
    first, *rest = text.splitlines() or [""]
    click.echo("\n".join([f" !    {first}", *(f" !    {line}" for line in rest)]), err=True)
