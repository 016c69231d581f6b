"""`wsrelay run`: starts the relay in the foreground."""

from __future__ import annotations

import shutil
import sys

import click

from wsrelay.config import setting_table
from wsrelay.config.usage_text import usage_text

__all__ = ["run"]

_TWISTD = ("twistd", "--nodaemon", "--pidfile=", "wsrelay")

_HELP = """\
Usage: wsrelay run [OPTIONS]

Start the relay in the foreground; it logs to the standard output. This is `twistd --nodaemon --pidfile= wsrelay`,
whose flags of the relay are the same. Ctrl-C and SIGTERM drain the connections before it ends.

Exit status: 0 after Ctrl-C; 1 where it cannot start, with one line that says why; after SIGTERM the relay ends by that
signal, which shells show as 143.
"""


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
    short_help="Start the relay in the foreground.",
)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def run(flags: tuple[str, ...]) -> None:
    """Start the relay in the foreground.

    Args:
        flags: The flags of the relay, which it reads itself.
    """
    if flags[:1] in (("--help",), ("-h",)):
        width = max(40, shutil.get_terminal_size().columns)
        click.echo(_HELP + usage_text(setting_table(), width, "wsrelay run"), nl=False)
        return
    # It reads the arguments of the process, and imports the reactor.
    from twisted.scripts.twistd import run as run_twistd

    sys.argv = [*_TWISTD, *flags]
    run_twistd()
