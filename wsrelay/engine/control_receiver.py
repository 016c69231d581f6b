"""Carries out the control messages that this process receives."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger, LogLevel

from wsrelay.core.history.offsets import position_of_offset
from wsrelay.core.messaging.client_commands import RefreshCommand, SubscribeCommand
from wsrelay.core.messaging.control import DisconnectCommand, UnknownCommand, read_control
from wsrelay.core.messaging.emulated import EmulatedMessage
from wsrelay.core.messaging.surveys import SurveyQuestion, SurveyReply
from wsrelay.core.messaging.switch import SwitchChanged
from wsrelay.core.messaging.user_commands import DisconnectUserCommand, UnsubscribeCommand
from wsrelay.core.outcomes.errors import ClaimError
from wsrelay.engine.client_registry import ClientRegistry, RegisteredClient
from wsrelay.engine.emulation import Emulation
from wsrelay.engine.rate_limited_log import LINES_PER_KIND, RateLimitedLog
from wsrelay.engine.revocation import Revocation
from wsrelay.engine.survey import Survey
from wsrelay.engine.switch import Switch
from wsrelay.metrics.counters import Counters

__all__ = ["ControlReceiver"]


class ControlReceiver:
    """Carries out control messages.

    Args:
        registry: The clients of this process.
        revocation: Disconnects those of a revoked target.
        survey: Replies to the questions of other processes.
        emulation: Takes the messages of clients that came to other processes.
        switch: Is looked up when it was changed.
        counters: Where messages of unknown kinds are counted.
        seconds: A monotonic clock.
    """

    log = Logger()

    def __init__(
        self,
        registry: ClientRegistry,
        revocation: Revocation,
        survey: Survey,
        emulation: Emulation,
        switch: Switch,
        counters: Counters,
        seconds: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._revocation = revocation
        self._survey = survey
        self._emulation = emulation
        self._switch = switch
        self._counters = counters
        self._has_reported_unknown = False
        self._lines = RateLimitedLog(self.log, seconds)

    def received(self, payload: bytes) -> None:
        """Carry out a control message. One that is malformed or of an unknown kind is ignored and logged."""
        try:
            command = read_control(payload)
        except ClaimError as error:
            text = f"a control message is malformed and ignored: {error}"
            self._lines.write("malformed", text, LINES_PER_KIND, level=LogLevel.warn)
            return
        match command:
            case DisconnectCommand():
                self._revocation.disconnect(command)
            case DisconnectUserCommand():
                self._disconnect(command)
            case UnsubscribeCommand():
                self._unsubscribe(command)
            case SubscribeCommand():
                self._subscribe(command)
            case RefreshCommand():
                self._refresh(command)
            case EmulatedMessage():
                self._emulation.received(command)
            case SurveyQuestion():
                self._survey.question_received(command)
            case SurveyReply():
                self._survey.reply_received(command)
            case SwitchChanged():
                self._switch.look()
            case UnknownCommand():
                self._count_unknown()

    def _disconnect(self, command: DisconnectUserCommand) -> None:
        clients = [each for each in self._clients(command) if each.connection_id not in command.spared]
        count = self._registry.apply(clients, lambda client: client.disconnect(command.disconnect))
        self.log.info("disconnecting {count} clients of one user", count=count)

    def _unsubscribe(self, command: UnsubscribeCommand) -> None:
        clients = self._clients(command)
        self._registry.apply(clients, lambda client: client.end_subscription(command.channel))

    def _subscribe(self, command: SubscribeCommand) -> None:
        since = None if command.since is None else position_of_offset(*command.since)
        clients = self._clients(command)
        self._registry.apply(clients, lambda client: client.subscribe_by_server(command.subscription, since))

    def _refresh(self, command: RefreshCommand) -> None:
        expires, is_expired, info = command.expires, command.is_expired, command.info
        self._registry.apply(
            self._clients(command),
            lambda client: client.refresh_by_server(expires, is_expired=is_expired, info=info),
        )

    def _clients(
        self, command: DisconnectUserCommand | UnsubscribeCommand | SubscribeCommand | RefreshCommand
    ) -> list[RegisteredClient]:
        named = {"user": command.user, "connection": command.client}
        # One of them or the session is named: commands without are not read.
        targets = [f"{kind}:{value}" for kind, value in named.items() if value]
        found = self._registry.clients(*targets, session=command.session)
        if command.user:
            return found
        # An anonymous client is named by its connection or session; that of a user has to be named with its user.
        return [each for each in found if not any(map(_is_user, self._registry.targets_of(each)))]

    def _count_unknown(self) -> None:
        self._counters.control_messages_unknown += 1
        if not self._has_reported_unknown:
            self._has_reported_unknown = True
            self.log.info("control message of an unknown kind ignored: a process of a newer version sends them")


def _is_user(target: str) -> bool:
    return target.startswith("user:")
