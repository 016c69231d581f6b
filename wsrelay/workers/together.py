"""The workers of one relay as one: their numbers added up, and one readiness."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from wsrelay.metrics.snapshot import Family, Snapshot, merged
from wsrelay.workers.worker import Worker

__all__ = ["RESTART_GRACE_SECONDS", "Together"]

RESTART_GRACE_SECONDS = 10.0
"""How long a worker may take to be started again before the relay is not ready: its clients wait meanwhile."""


class Together:
    """Answers the questions of workers about all of them.

    Args:
        clock: Time.
        living: Returns all workers whose processes live.
        slots: Returns the worker of each slot, None where the next one is waited for.

    Attributes:
        restarts: How many workers were started in place of others that had ended by themselves.
        is_stopping: Whether all of them drain.
    """

    def __init__(
        self,
        clock: IReactorTime,
        living: Callable[[], Collection[Worker]],
        slots: Callable[[], Sequence[Worker | None]],
    ) -> None:
        self._clock = clock
        self._living = living
        self._slots = slots
        self._remains: Snapshot = ()
        self._last_ready = float("-inf")
        self.restarts = 0
        self.is_stopping = False

    def ended(self, worker: Worker) -> None:
        """Keep the counters of a worker that has ended."""
        self._remains = merged((self._remains, worker.remains()))

    def answer(self, question: str) -> Any:
        """Return the answer to a question of a worker: "metrics" or "readiness".

        Raises:
            ValueError: There is no such question.
        """
        if question == "readiness":
            return self.readiness()
        if question == "metrics":
            return self.numbers().addCallback(lambda snapshot: [family.to_json() for family in snapshot])
        raise ValueError(f"no such question: {question}")

    def readiness(self) -> tuple[int, str]:
        """Return HTTP status and text, for all of them.

        A worker that is being started again makes the relay not ready only after `RESTART_GRACE_SECONDS`: clients that
        it would serve wait for it, and a load balancer that takes this relay out would send them elsewhere at once.
        """
        workers = self._slots()
        ready = sum(worker is not None and worker.is_ready for worker in workers)
        count = f"{ready} of {len(workers)} workers are ready"
        if self.is_stopping:
            return 503, "not ready: stopping"
        problem = next((each.readiness[1] for each in workers if each is not None and not each.is_ready), "restarting")
        now = self._clock.seconds()
        if ready == len(workers):
            self._last_ready = now
            return 200, f"ready: {count}"
        is_restarting = all(each is None or each.is_ready or not each.has_started for each in workers)
        if ready and is_restarting and now - self._last_ready <= RESTART_GRACE_SECONDS:
            return 200, f"ready: {count}"
        return 503, f"{count}; {problem}"

    def numbers(self) -> Deferred[Snapshot]:
        """Return the numbers of all.

        Returns:
            Fires with them; those of a worker that does not answer are the last that it told.
        """
        workers = tuple(self._living())

        def add(snapshots: Sequence[Snapshot]) -> Snapshot:
            own = (
                _without_states(each) if worker.is_leaving else each
                for worker, each in zip(workers, snapshots, strict=True)
            )
            return merged((self._own(), self._remains, *own))

        return gatherResults([worker.numbers() for worker in workers]).addCallback(add)

    def _own(self) -> Snapshot:
        return (
            Family("wsrelay_workers", "gauge", "Workers that run.", None, "sum", {"": len(self._living())}),
            Family(
                "wsrelay_worker_restarts", "counter",
                "Workers started in place of others that had ended by themselves.", None, "sum", {"": self.restarts},
            ),
        )  # fmt: skip


def _without_states(snapshot: Snapshot) -> Snapshot:
    """Return the numbers of a worker that is being replaced: that it is not ready says nothing about the relay."""
    return tuple(family for family in snapshot if family.merge != "min")
