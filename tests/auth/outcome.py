"""What came of asking who somebody is."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.core.outcomes.errors import RejectedError

__all__ = ["outcome"]


def outcome(deferred: Deferred[Any]) -> Any:
    """Who it is, or why nobody; None if nobody knows yet. Any other failure is raised."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results or [None]
    if isinstance(result, Failure):
        error = result.value
        if not isinstance(error, RejectedError):
            result.raiseException()
        return error.client_error
    return result
