"""The SDK centrifuge-python: takes a command from each line of standard input, and prints events and results as JSON.

``python client.py json|protobuf``; tests/clients/sdk.py has the commands.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from centrifuge import (
    CentrifugeError,
    Client,
    ClientEventHandler,
    ClientInfo,
    Publication,
    StreamPosition,
    Subscription,
    SubscriptionEventHandler,
)

BINARY = sys.argv[1] == "protobuf"

DELAYS = {"min_reconnect_delay": 0.02, "max_reconnect_delay": 0.25}
RESUBSCRIBE_DELAYS = {"min_resubscribe_delay": 0.02, "max_resubscribe_delay": 0.25}


def report(line: dict[str, Any]) -> None:
    """Print an event or a result."""
    print(json.dumps(line), flush=True)


def encode(value: Any) -> Any:
    """Return a value as the SDK takes it."""
    return json.dumps(value).encode() if BINARY else value


def decode(data: Any) -> Any:
    """Return the value of what the SDK gives."""
    return (json.loads(data) if data else None) if BINARY else data


def info_of(info: ClientInfo | None) -> dict[str, Any] | None:
    """Return what is known of a client."""
    if info is None:
        return None
    return {
        "client": info.client,
        "user": info.user,
        "conn_info": decode(info.conn_info),
        "chan_info": decode(info.chan_info),
    }


def fields_of(publication: Publication) -> dict[str, Any]:
    """Return the fields of a publication."""
    return {
        "data": decode(publication.data),
        "offset": publication.offset or None,
        "info": info_of(publication.info),
        "tags": publication.tags or None,
    }


def position_of(context: Any) -> dict[str, Any]:
    """Return what a subscription began with."""
    position = context.stream_position
    return {
        "recoverable": context.recoverable,
        "positioned": context.positioned,
        "was_recovering": context.was_recovering,
        "recovered": context.recovered,
        **({"offset": position.offset, "epoch": position.epoch} if position else {}),
    }


class ClientEvents(ClientEventHandler):
    """Reports the events of a client, and those of its subscriptions by the server.

    Args:
        name: The client's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _report(self, event: str, **fields: Any) -> None:
        report({"event": event, "name": self._name, **fields})

    async def on_connecting(self, ctx: Any) -> None:
        self._report("connecting", code=ctx.code, reason=ctx.reason)

    async def on_connected(self, ctx: Any) -> None:
        self._report("connected", client=ctx.client)

    async def on_disconnected(self, ctx: Any) -> None:
        self._report("disconnected", code=ctx.code, reason=ctx.reason)

    async def on_error(self, ctx: Any) -> None:
        self._report("error", code=ctx.code, message=str(ctx.error))

    async def on_subscribing(self, ctx: Any) -> None:
        self._report("server subscribing", channel=ctx.channel)

    async def on_subscribed(self, ctx: Any) -> None:
        self._report("server subscribed", channel=ctx.channel, **position_of(ctx))

    async def on_unsubscribed(self, ctx: Any) -> None:
        self._report("server unsubscribed", channel=ctx.channel)

    async def on_publication(self, ctx: Any) -> None:
        self._report("server publication", channel=ctx.channel, **fields_of(ctx.pub))

    async def on_join(self, ctx: Any) -> None:
        self._report("server join", channel=ctx.channel, **(info_of(ctx.info) or {}))

    async def on_leave(self, ctx: Any) -> None:
        self._report("server leave", channel=ctx.channel, **(info_of(ctx.info) or {}))


class SubscriptionEvents(SubscriptionEventHandler):
    """Reports the events of a subscription.

    Args:
        name: The client's name.
        channel: The channel.
    """

    def __init__(self, name: str, channel: str) -> None:
        self._of = {"name": name, "channel": channel}

    def _report(self, event: str, **fields: Any) -> None:
        report({"event": event, **self._of, **fields})

    async def on_subscribing(self, ctx: Any) -> None:
        self._report("subscribing", code=ctx.code)

    async def on_subscribed(self, ctx: Any) -> None:
        self._report("subscribed", **position_of(ctx))

    async def on_unsubscribed(self, ctx: Any) -> None:
        self._report("unsubscribed", code=ctx.code, reason=ctx.reason)

    async def on_publication(self, ctx: Any) -> None:
        self._report("publication", **fields_of(ctx.pub))

    async def on_join(self, ctx: Any) -> None:
        self._report("join", **(info_of(ctx.info) or {}))

    async def on_leave(self, ctx: Any) -> None:
        self._report("leave", **(info_of(ctx.info) or {}))

    async def on_error(self, ctx: Any) -> None:
        self._report("subscription error", code=ctx.code, message=str(ctx.error))


def getter(tokens: list[str], event: str, **fields: str) -> Callable[[], Awaitable[str]]:
    """Return a function that gives the SDK one token after the other, and reports that it was asked."""

    async def next_token() -> str:
        report({"event": event, **fields})
        return tokens.pop(0)

    return next_token


class Driver:
    """Carries out commands: each has a method of its name."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}

    async def perform(self, command: dict[str, Any]) -> None:
        """Carry out one command and report its result."""
        call, method = command.pop("call"), getattr(self, command.pop("do"))
        try:
            report({"call": call, "result": await method(**{"name": "", **command})})
        except CentrifugeError as error:
            report({"call": call, "error": {"code": getattr(error, "code", 0), "message": str(error)}})

    async def connect(self, name: str, url: str, token: str = "", tokens: list[str] | None = None) -> None:
        """Make a client and connect it."""
        self._clients[name] = client = Client(
            url,
            events=ClientEvents(name),
            token=token,
            get_token=None if tokens is None else getter(tokens, "token wanted", name=name),
            use_protobuf=BINARY,
            **DELAYS,
        )
        await client.connect()

    async def reconnect(self, name: str) -> None:
        """Connect a client that has disconnected."""
        await self._clients[name].connect()

    async def disconnect(self, name: str) -> None:
        """Disconnect a client."""
        await self._clients[name].disconnect()

    async def subscribe(
        self,
        name: str,
        channel: str,
        token: str = "",
        tokens: list[str] | None = None,
        state: list[dict[str, Any]] | None = None,
        **options: bool,
    ) -> None:
        """Subscribe a client to a channel, for the first time or again."""
        client = self._clients[name]
        subscription = client.get_subscription(channel)
        if subscription is None:
            subscription = self._new_subscription(client, name, channel, token, tokens, state, options)
        await subscription.subscribe()

    def _new_subscription(
        self,
        client: Client,
        name: str,
        channel: str,
        token: str,
        tokens: list[str] | None,
        state: list[dict[str, Any]] | None,
        options: dict[str, bool],
    ) -> Subscription:
        async def get_token(_channel: str) -> str:
            assert tokens is not None
            return await getter(tokens, "subscription token wanted", name=name, channel=channel)()

        async def get_state(_channel: str) -> StreamPosition:
            assert state is not None
            report({"event": "state wanted", "name": name, "channel": channel})
            return StreamPosition(**state.pop(0))

        return client.new_subscription(
            channel,
            events=SubscriptionEvents(name, channel),
            token=token,
            get_token=None if tokens is None else get_token,
            get_state=None if state is None else get_state,
            **RESUBSCRIBE_DELAYS,
            **options,
        )

    async def unsubscribe(self, name: str, channel: str) -> None:
        """Unsubscribe a client from a channel."""
        subscription = self._clients[name].get_subscription(channel)
        assert subscription is not None
        await subscription.unsubscribe()

    async def publish(self, name: str, channel: str, data: Any) -> None:
        """Publish a message."""
        await self._clients[name].publish(channel, encode(data))

    async def history(
        self, name: str, channel: str, limit: int = 0, since: dict[str, Any] | None = None, *, reverse: bool = False
    ) -> dict[str, Any]:
        """Return entries of a channel."""
        position = None if since is None else StreamPosition(**since)
        found = await self._clients[name].history(channel, limit=limit, since=position, reverse=reverse)
        return {
            "offset": found.offset,
            "epoch": found.epoch,
            "publications": [fields_of(publication) for publication in found.publications],
        }

    async def presence(self, name: str, channel: str) -> list[dict[str, Any] | None]:
        """Return the clients on a channel."""
        return [info_of(info) for info in (await self._clients[name].presence(channel)).clients.values()]

    async def presence_stats(self, name: str, channel: str) -> dict[str, int]:
        """Return the numbers of clients and users on a channel."""
        found = await self._clients[name].presence_stats(channel)
        return {"num_clients": found.num_clients, "num_users": found.num_users}

    async def rpc(self, name: str, method: str, data: Any) -> Any:
        """Call a procedure of the server."""
        return decode((await self._clients[name].rpc(method, encode(data))).data)


async def main() -> None:
    """Carry out commands until standard input ends."""
    lines = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    driver = Driver()
    tasks: set[asyncio.Task[None]] = set()
    while line := await lines.readline():
        task = asyncio.create_task(driver.perform(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
