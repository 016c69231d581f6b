"""`wsrelay websockets`, `websockets:disable` and `websockets:enable`: the switch; see docs/switch.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import click

from wsrelay.brokers.redis.internal_channels import CONTROL
from wsrelay.brokers.redis.switch import RedisSwitch
from wsrelay.commands.errors import CommandError
from wsrelay.commands.redis import Sender, run_on_redis
from wsrelay.commands.settings import load_settings, redis_options, shown_name
from wsrelay.core.messaging.switch import (
    NO_EXPLANATION,
    SwitchChanged,
    SwitchState,
    check_explanation,
    read_switch_state,
)
from wsrelay.core.outcomes.errors import ClaimError, ConfigError

__all__ = ["clear_switch", "disable", "enable", "set_switch", "show"]


@click.command("websockets")
@redis_options
def show(name: str | None, **options: str | None) -> None:
    """Show whether websockets are enabled."""
    settings = load_settings(name, options)

    async def read(send: Sender) -> SwitchState:
        return read_switch_state(await RedisSwitch(settings.prefix.encode(), send).read())

    state = run_on_redis(settings, read)
    explanation = f": {state.explanation}" if state.explanation else ""
    click.echo(
        f"Websockets are {'disabled' if state.is_disabled else 'enabled'} for {shown_name(settings)}{explanation}"
    )


@click.command("websockets:disable")
@click.option("-m", "--message", default="", metavar="TEXT", help="What clients are told, at most 200 characters.")
@click.option("--force", is_flag=True, help="Also where no process of this name is running.")
@redis_options
def disable(name: str | None, message: str, force: bool, **options: str | None) -> None:
    """Turn websockets off on all processes of a relay: new ones are refused with 503, and open ones drain.

    It holds until websockets:enable, whatever restarts.
    """
    try:
        value = (check_explanation(message) or NO_EXPLANATION).encode()
    except ClaimError as error:
        raise CommandError(f"--message cannot be used: {error}.") from None
    _change("Disabling", name, options, lambda prefix, send: set_switch(prefix, send, value, force=force))


@click.command("websockets:enable")
@click.option("--force", is_flag=True, help="Also where no process of this name is running.")
@redis_options
def enable(name: str | None, force: bool, **options: str | None) -> None:
    """Turn websockets on again on all processes of a relay."""
    _change("Enabling", name, options, lambda prefix, send: clear_switch(prefix, send, force=force))


def _change(
    verb: str, name: str | None, options: dict[str, Any], change: Callable[[str, Sender], Awaitable[None]]
) -> None:
    """Change the switch, and print how that went as Heroku's command line does."""
    shown = (name or "").removesuffix(":")
    settings = None
    if not shown:
        settings = load_settings(name, options)
        shown = shown_name(settings)
    click.echo(f"{verb} websockets for {shown}... ", nl=False)
    try:
        found = settings or load_settings(name, options)

        async def work(send: Sender) -> bool:
            await change(found.prefix, send)
            return True

        run_on_redis(found, work)
    except (CommandError, ConfigError):
        click.echo("failed")
        raise
    click.echo("done")


async def set_switch(prefix: str, send: Sender, value: bytes, *, force: bool = False) -> None:
    """Turn websockets off, and tell the processes.

    Args:
        prefix: The prefix of the relay.
        send: Sends commands.
        value: The value of the switch.
        force: Whether no process has to be running.

    Raises:
        CommandError: No process of this prefix is running, which is most likely a misspelt name.
        BrokerUnavailable: Redis did not do it.
    """
    # Before the change. It has no effect of its own: they look the switch up, as they do now and then.
    if not await _tell(prefix, send) and not force:
        raise CommandError(_nobody(prefix))
    await RedisSwitch(prefix.encode(), send).set(value)
    await _tell(prefix, send)


async def clear_switch(prefix: str, send: Sender, *, force: bool = False) -> None:
    """Turn websockets on, and tell the processes.

    Args:
        prefix: The prefix of the relay.
        send: Sends commands.
        force: Whether neither a process has to be running nor the switch to be set.

    Raises:
        CommandError: No process of this prefix is running, and the switch was not set.
        BrokerUnavailable: Redis did not do it.
    """
    was_set = await RedisSwitch(prefix.encode(), send).clear()
    if not await _tell(prefix, send) and not was_set and not force:
        raise CommandError(_nobody(prefix))


async def _tell(prefix: str, send: Sender) -> int:
    """Have the processes look the switch up; return how many there are."""
    count: int = await send(b"PUBLISH", f"{prefix}{CONTROL}".encode(), SwitchChanged().to_bytes())
    return count


def _nobody(prefix: str) -> str:
    return (
        f"No process of a relay with the prefix {prefix!r} is connected to this Redis.\nCheck the name and REDIS_URL, "
        "or add --force where it is to hold for processes that start later."
    )
