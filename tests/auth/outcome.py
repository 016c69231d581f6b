"""What came of asking who somebody is."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.core.denials import Denial
from wsrelay.core.errors import DeniedError

__all__ = ["outcome"]


def outcome(deferred: Deferred[Any]) -> Any:
    """Who it is, or why nobody; None if nobody knows yet. Any other failure is raised."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results or [None]
    if isinstance(result, Failure):
        if not result.check(DeniedError):
            result.raiseException()
        denial: Denial = result.value.denial
        return denial
    return result
