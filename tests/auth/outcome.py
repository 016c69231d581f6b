"""The outcome of an authentication."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsrelay.core.outcomes.errors import RejectedError

__all__ = ["outcome"]


def outcome(deferred: Deferred[Any]) -> Any:
    """Return the identity, or the error of a rejection; None if there is no outcome yet. Raises any other failure."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results or [None]
    if isinstance(result, Failure):
        error = result.value
        if not isinstance(error, RejectedError):
            result.raiseException()
        return error.client_error
    return result
