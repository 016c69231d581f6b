"""The parent as a service: opens the sockets, then starts the workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from wsrelay.app.service import listen_error
from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.workers.shared_sockets import SharedSockets
from wsrelay.workers.supervisor import Supervisor

__all__ = ["ParentService"]


class ParentService(Service):
    """The parent process.

    Args:
        sockets: Where the endpoints open their sockets.
        endpoints: Where to listen, made with these sockets.
        supervisor: Supervises the workers.
        close_after_seconds: How long workers accept connections when they have been told to stop.
    """

    def __init__(
        self,
        sockets: SharedSockets,
        endpoints: Sequence[IStreamServerEndpoint],
        supervisor: Supervisor,
        close_after_seconds: float = 0.0,
    ) -> None:
        self._close_after_seconds = close_after_seconds
        self._sockets = sockets
        self._endpoints = endpoints
        self.supervisor = supervisor

    def privilegedStartService(self) -> None:
        """Open the sockets; ports below 1024 need the privileges that twistd is about to give up.

        Raises:
            ConfigError: An address is taken or not ours, or cannot be used for another reason. No socket is open then.
        """
        failures: list[Failure] = []
        for endpoint in self._endpoints:
            endpoint.listen(Factory()).addErrback(failures.append)
        if failures:
            self._sockets.close()
            raise ConfigError(listen_error(failures[0].value))

    def startService(self) -> None:
        """Start the workers."""
        super().startService()
        self.supervisor.startService()

    def stopService(self) -> Deferred[Any]:
        """Let all workers drain.

        Returns:
            Fires when all have ended.
        """
        super().stopService()
        stopped = self.supervisor.stopService()
        # The workers have descriptors of their own. What would wait in a queue behind theirs is refused at once.
        self._sockets.close_after(self._close_after_seconds, stopped)
        return stopped

    def readiness(self) -> tuple[int, str]:
        """Return HTTP status and text, as a probe gets them."""
        return self.supervisor.together.readiness()

    def reload(self) -> None:
        """Let every worker read its settings and certificates again."""
        self.supervisor.reload()

    def replace_workers(self) -> None:
        """Replace all workers by new ones, one after the other."""
        self.supervisor.replace_workers()
