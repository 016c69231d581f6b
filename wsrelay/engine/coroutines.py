"""Coroutines that nearly always end without waiting."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import coroutine as as_coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

__all__ = ["run_coroutine"]

_T = TypeVar("_T")


def run_coroutine(coroutine: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
    """Do what `Deferred.fromCoroutine` does, without its price where all that is awaited is there.

    That price is a context, a chain of callbacks and three functions for each level: with three levels a quarter of
    what it takes to let a client with a token in. The first step runs in the context of the caller, which nothing here
    looks at.

    Args:
        coroutine: It awaits Deferreds.

    Returns:
        Fires with what the coroutine returns, or fails with what it raises. To cancel it cancels what is awaited.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as ended:
        return succeed(ended.value)
    except Exception:  # noqa: BLE001 -- whatever it is, it is for those who wait
        return fail(Failure())
    return Deferred.fromCoroutine(_rest(coroutine, awaited))


@as_coroutine
def _rest(coroutine: Coroutine[Any, Any, _T], awaited: Any) -> Generator[Any, Any, _T]:
    """Go on with a coroutine that awaits something, as `await` in another one would."""
    try:
        while True:
            try:
                result = yield awaited
            except Exception as error:  # noqa: BLE001 -- it is for the coroutine
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(result)
    except StopIteration as ended:
        value: _T = ended.value
        return value
