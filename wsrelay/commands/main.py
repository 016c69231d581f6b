"""The entry point: finds the subcommand, and has every failure end with status 1 and one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from wsrelay import __version__
from wsrelay.commands.errors import CommandError, print_error
from wsrelay.commands.run import run
from wsrelay.commands.websockets import disable, enable, show
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["main"]

_HELP = """\
Put WebSockets in front of Redis: what any program PUBLISHes reaches every browser.

\b
  wsrelay run                                     start a relay, without Redis
  REDIS_URL=redis://localhost wsrelay run         start a relay on Redis
  wsrelay websockets:disable -a wsrelay           turn websockets off on all processes
  wsrelay websockets:enable -a wsrelay            turn them on again

The exit status is 0 for success and 1 for a failure, whose reason is printed with what to do.
"""


@click.group(help=_HELP, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="wsrelay", message="%(prog)s %(version)s")
@click.pass_context
def _commands(context: click.Context) -> None:
    """Show the help where no subcommand is named."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (run, show, disable, enable):
    _commands.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: What stands behind the name of the program. If None, those of the process.

    Raises:
        SystemExit: Always, with the status.
    """
    try:
        status = _commands.main(arguments, prog_name="wsrelay", standalone_mode=False)
    except click.ClickException as error:
        hint = "" if not isinstance(error, click.UsageError) else "\nwsrelay --help shows all commands."
        _fail(f"{error.format_message()}{hint}")
    except (CommandError, ConfigError) as error:
        _fail(str(error))
    except click.Abort:
        _fail("Interrupted.")
    raise SystemExit(status if isinstance(status, int) else 0)


def _fail(text: str) -> None:
    sys.stdout.flush()
    print_error(text)
    raise SystemExit(1)
