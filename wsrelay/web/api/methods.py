"""The methods of the API in the shape of Centrifugo's server API: what each takes, and its result."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypedDict

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.core.history.offsets import EPOCH, entry_offset
from wsrelay.core.history.positions import parse_id
from wsrelay.core.messaging.client_commands import read_refresh, read_subscribe
from wsrelay.core.messaging.control import TARGETS, DisconnectCommand, read_disconnect
from wsrelay.core.messaging.publications import PublishResult
from wsrelay.core.messaging.switch import SwitchState
from wsrelay.core.messaging.user_commands import (
    MAX_SPARED,
    DisconnectUserCommand,
    read_application_disconnect,
    read_disconnect_user,
    read_unsubscribe,
)
from wsrelay.core.outcomes.disconnects import AnyDisconnect, Disconnect
from wsrelay.core.wire.json_text import dump_json
from wsrelay.engine.operations import MAX_REVOKE_SECONDS, Operations
from wsrelay.web.api.fields import MAX_BROADCAST_CHANNELS, Fields
from wsrelay.web.api.method_errors import BAD_REQUEST, NOT_AVAILABLE, MethodError, method_error
from wsrelay.web.api.results import member_json, publication_json

__all__ = ["Method", "Methods"]

Method = Callable[[Fields], Coroutine[Deferred[Any], Any, bytes]]
"""Carries out a request, and returns its result as JSON. Raises `MethodError`, or what the operations raise."""

_EMPTY = b"{}"
_CLIENTS = ("user", "client", "session")
_OWN_TARGETS = tuple(kind for kind in TARGETS if kind != "user")


class Methods:
    """The methods by their names.

    Args:
        operations: Carries them out.

    Attributes:
        by_name: All of them.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self.by_name: dict[str, Method] = {
            "publish": self._publish,
            "broadcast": self._broadcast,
            "history": self._history,
            "history_remove": self._history_remove,
            "presence": self._presence,
            "presence_stats": self._presence_stats,
            "channels": self._channels,
            "info": self._info,
            "disconnect": self._disconnect,
            "unsubscribe": self._unsubscribe,
            "subscribe": self._subscribe,
            "refresh": self._refresh,
            "websockets": self._websockets,
            "websockets_disable": self._websockets_disable,
            "websockets_enable": self._websockets_enable,
            "rpc": self._not_available,
        }

    async def _publish(self, fields: Fields) -> bytes:
        channel = fields.text("channel")
        data, key, options = _read_message(fields)
        return dump_json(_published(await self._operations.publish(channel, data, key, **options)))

    async def _broadcast(self, fields: Fields) -> bytes:
        channels = fields.texts("channels", MAX_BROADCAST_CHANNELS)
        if not channels:
            raise MethodError(BAD_REQUEST, "channels must not be empty")
        data, key, options = _read_message(fields)
        outcomes = await self._operations.broadcast(channels, data, key, **options)
        return b'{"responses":[%s]}' % b",".join(map(_response, outcomes))

    async def _history(self, fields: Fields) -> bytes:
        channel, limit, reverse = fields.text("channel"), fields.integer("limit", -1, 2**31 - 1), fields.flag("reverse")
        since, offset, epoch = fields.document("since"), None, ""
        if since is not None:
            offset, epoch = since.integer("offset", 0, 2**64 - 1), since.text("epoch", "")
        page = await self._operations.history.page(channel, limit, offset, epoch, reverse=reverse)
        return b'{"publications":[%s],"epoch":%s,"offset":%d}' % (
            b",".join(map(publication_json, page.publications)),
            dump_json(page.epoch),
            page.offset,
        )

    async def _history_remove(self, fields: Fields) -> bytes:
        await self._operations.history.remove(fields.text("channel"))
        return _EMPTY

    async def _presence(self, fields: Fields) -> bytes:
        found = await self._operations.presence.members(fields.text("channel"))
        # Of two with the same id, which only a program that writes there itself can make, the last one counts.
        members = {each.client: each for each in found.members}
        shown = b",".join(b"%s:%s" % (dump_json(client), member_json(each)) for client, each in members.items())
        return b'{"presence":{%s}%s}' % (shown, b',"incomplete":true' if found.is_truncated else b"")

    async def _presence_stats(self, fields: Fields) -> bytes:
        stats = await self._operations.presence.stats(fields.text("channel"))
        return dump_json({"num_clients": stats.clients, "num_users": stats.users})

    async def _channels(self, fields: Fields) -> bytes:
        found = await self._operations.processes.channels(fields.text("pattern", ""))
        channels = {name: {"num_clients": number} for name, number in found.counts.items()}
        return dump_json({"channels": channels, **({} if found.is_complete else {"incomplete": True})})

    async def _info(self, _fields: Fields) -> bytes:
        processes = await self._operations.processes.numbers()
        nodes = [
            {
                "uid": uid,
                "name": each.name,
                "version": each.version,
                "num_clients": each.clients,
                "num_users": each.users,
                "num_channels": each.channels,
                "num_subs": each.subscriptions,
                "uptime": each.uptime,
            }
            for uid, each in processes.numbers.items()
        ]
        return dump_json({"nodes": nodes, **({"incomplete": True} if processes.missing else {})})

    async def _disconnect(self, fields: Fields) -> bytes:
        seconds = fields.integer("revoke_seconds", 0, MAX_REVOKE_SECONDS)
        await self._operations.disconnect(_read_disconnect(fields), seconds)
        return _EMPTY

    async def _unsubscribe(self, fields: Fields) -> bytes:
        names = {name: fields.text(name, "") for name in (*_CLIENTS, "channel")}
        await self._operations.unsubscribe(read_unsubscribe(names))
        return _EMPTY

    async def _subscribe(self, fields: Fields) -> bytes:
        fields.document("override")
        names = ("channel", "info", "b64info", "data", "b64data", "recover_since", "expire_at")
        await self._operations.subscribe(read_subscribe(fields.present(*_CLIENTS, *names)))
        return _EMPTY

    async def _refresh(self, fields: Fields) -> bytes:
        names = ("expired", "expire_at", "info", "b64info")
        await self._operations.refresh(read_refresh(fields.present(*_CLIENTS, *names)))
        return _EMPTY

    async def _websockets(self, _fields: Fields) -> bytes:
        return _switch_json(await self._operations.switch.state())

    async def _websockets_disable(self, fields: Fields) -> bytes:
        return _switch_json(await self._operations.switch.disable(fields.text("explanation", "")))

    async def _websockets_enable(self, _fields: Fields) -> bytes:
        return _switch_json(await self._operations.switch.enable())

    async def _not_available(self, _fields: Fields) -> bytes:
        raise MethodError(NOT_AVAILABLE, "the relay does not offer this")


class _Options(TypedDict):
    skip_history: bool
    tags: bytes


def _read_message(fields: Fields) -> tuple[bytes, str, _Options]:
    """Return the message, its idempotency key, and how it is published."""
    options = _Options(skip_history=fields.flag("skip_history"), tags=fields.tags())
    return fields.payload(), fields.text("idempotency_key", ""), options


def _published(result: PublishResult) -> dict[str, object]:
    if not result.position:
        return {}
    return {"offset": entry_offset(parse_id(result.position)), "epoch": EPOCH}


def _switch_json(state: SwitchState) -> bytes:
    return dump_json(
        {"enabled": not state.is_disabled, **({"explanation": state.explanation} if state.explanation else {})}
    )


def _response(outcome: PublishResult | Failure) -> bytes:
    if not isinstance(outcome, Failure):
        return b'{"result":%s}' % dump_json(_published(outcome))
    error = method_error(outcome.value)
    if error is None:
        outcome.raiseException()
    return b'{"error":%s}' % error.to_json()


def _read_disconnect(fields: Fields) -> DisconnectCommand | DisconnectUserCommand:
    reconnect = fields.flag("reconnect")
    own = {kind: fields.text(kind, "") for kind in _OWN_TARGETS if kind in fields}
    custom, spared = fields.document("disconnect"), fields.texts("whitelist", MAX_SPARED)
    who = {name: fields.text(name, "") for name in _CLIENTS}
    if own:
        if any(who.values()) or spared or custom is not None:
            raise MethodError(BAD_REQUEST, f"{', '.join(own)} stands alone, but for reconnect and revoke_seconds")
        return read_disconnect({**own, "reconnect": reconnect})
    if not (who["client"] or who["session"] or spared or custom):
        # The form that processes of older versions know.
        return read_disconnect({"user": who["user"], "reconnect": reconnect})
    disconnect: AnyDisconnect = Disconnect.RECONNECT if reconnect else Disconnect.REVOKED
    if custom is not None:
        if reconnect:
            raise MethodError(BAD_REQUEST, "reconnect contradicts disconnect, whose code says whether to reconnect")
        disconnect = read_application_disconnect(custom.integer("code", 3000, 4999), custom.text("reason", ""))
    return replace(read_disconnect_user({**who, "except": spared}), disconnect=disconnect)
