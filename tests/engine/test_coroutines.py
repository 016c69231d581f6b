"""Tests of wsrelay.engine.coroutines: each coroutine does what it does under `Deferred.fromCoroutine`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.engine.coroutines import run_coroutine

RUNNERS: tuple[Callable[[Coroutine[Any, Any, Any]], Deferred[Any]], ...] = (Deferred.fromCoroutine, run_coroutine)


class CoroutineTests(SynchronousTestCase):
    """Every test runs the same in both ways."""

    def test_coroutine_that_waits_for_nothing_has_ended(self) -> None:
        async def add(number: int) -> int:
            return number + await succeed(1)

        for run in RUNNERS:
            self.assertEqual(self.successResultOf(run(add(1))), 2)

    def test_exception_at_once_is_the_failure(self) -> None:
        async def fail_at_once() -> None:
            await fail(ValueError("no"))

        for run in RUNNERS:
            self.failureResultOf(run(fail_at_once()), ValueError)

    def test_coroutine_goes_on_with_each_result_and_each_failure(self) -> None:
        for run in RUNNERS:
            first, second, third = Deferred[int](), Deferred[int](), Deferred[int]()

            async def add(awaited: tuple[Deferred[int], ...]) -> int:
                total = await awaited[0]
                try:
                    await awaited[1]
                except ValueError:
                    total += 10
                return total + await awaited[2] + await succeed(100)

            outcome = run(add((first, second, third)))
            self.assertNoResult(outcome)
            first.callback(1)
            second.errback(ValueError("no"))
            self.assertNoResult(outcome)
            third.callback(1000)
            self.assertEqual(self.successResultOf(outcome), 1111)

    def test_exception_behind_a_wait_is_the_failure(self) -> None:
        async def fail_later(awaited: Deferred[None]) -> None:
            await awaited
            raise ValueError("no")

        for run in RUNNERS:
            awaited: Deferred[None] = Deferred()
            outcome = run(fail_later(awaited))
            awaited.callback(None)
            self.failureResultOf(outcome, ValueError)

    def test_cancelling_cancels_what_is_awaited_at_any_depth(self) -> None:
        for run in RUNNERS:
            cancelled: list[object] = []
            ended: list[str] = []
            awaited: Deferred[None] = Deferred(cancelled.append)

            async def inner(awaited: Deferred[None] = awaited, ended: list[str] = ended) -> None:
                try:
                    await awaited
                finally:
                    ended.append("inner")

            async def outer(run: Any = run, inner: Any = inner) -> None:
                await run(inner())

            outcome = run(outer())
            outcome.cancel()
            self.failureResultOf(outcome, CancelledError)
            self.assertEqual((cancelled, ended), ([awaited], ["inner"]))
