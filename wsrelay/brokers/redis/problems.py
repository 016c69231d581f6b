"""Problems between the relay and Redis: in fixed words for everybody, and with the details for the operator's log.

Anybody may ask a process whether it is ready. The words that answer name no host, user, channel or key, and repeat
nothing that a server sent; the log does, unless it may hold the password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from OpenSSL import SSL
from twisted.internet import error as errors
from twisted.internet.defer import TimeoutError as DeferredTimeout

from wsrelay.core.outcomes.errors import BrokerUnavailable
from wsrelay.outgoing.tls import RejectedCertificateError
from wsrelay.outgoing.tls_problems import openssl_reasons, tls_problem

__all__ = ["NO_PROBLEM", "Problem", "RedisProblemError", "problem_of", "reply_problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why Redis cannot be used. As a str: all of it.

    Attributes:
        summary: The reason, in words that anybody may read. An empty str: there is none.
        detail: What else the log says, as one line without credentials; an empty str if nothing.
    """

    summary: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.summary} ({self.detail})" if self.detail else self.summary

    def is_like(self, other: Problem) -> bool:
        """Return whether another problem is the same but for numbers, such as those of ports and of probes."""
        return self.summary == other.summary and _NUMBER.sub("", self.detail) == _NUMBER.sub("", other.detail)

    def without(self, secret: str | None) -> Problem:
        """Return the problem without its detail if a secret is in that."""
        return Problem(self.summary) if secret and secret in self.detail else self


_NUMBER = re.compile(r"\d+")

NO_PROBLEM = Problem("")


class RedisProblemError(BrokerUnavailable):
    """Redis cannot be used.

    Args:
        problem: The reason.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.summary)
        self.problem = problem


# Error replies of Redis 2.8 to 8 and Valkey, as patterns of their texts (a code alone does not say it); what they mean;
# and what the log advises.
_REPLIES = tuple(
    (re.compile(pattern), summary, advice)
    for pattern, summary, advice in (
        (
            "max number of clients",
            "it rejects the connection: max number of clients reached",
            "raise maxclients, or find out who holds so many connections",
        ),
        ("^DENIED|protected mode", "it rejects the connection: it is in protected mode (DENIED)", ""),
        ("registering fd event", "it rejects the connection: Error registering fd event", "raise its ulimit -n"),
        ("^LOADING", "it is loading its data (LOADING)", ""),
        (
            "^WRONGPASS|^ERR invalid password",
            "it rejects the user name or the password (WRONGPASS)",
            "one of them is wrong, or the user is off; without ACL users the URL is redis://:password@host",
        ),
        (
            "without any password configured|no password is set",
            "the URL has a password, and the server has none",
            "remove it from the URL, or set requirepass",
        ),
        ("unknown command.*AUTH", "it does not know the command AUTH", "it was renamed, or this is a proxy"),
        ("^NOAUTH|operation not permitted", "it demands a password, and the URL has none (NOAUTH)", ""),
        ("^NOPERM", "the ACL user may not do what the relay needs (NOPERM)", ""),
        ("DB index|invalid DB|SELECT is not allowed", "it has no database of the number in the URL", ""),
        ("^MISCONF", "it cannot save to its disk and rejects writes (MISCONF)", ""),
        ("^READONLY", "it is a replica and rejects writes (READONLY)", ""),
        ("^MASTERDOWN", "it is a replica that lost its master (MASTERDOWN)", ""),
        ("^CLUSTERDOWN", "it is a cluster that is down (CLUSTERDOWN)", ""),
        ("^MOVED|^ASK ", "it is a cluster of several nodes, which is not supported (MOVED)", "use one primary"),
        ("^OOM", "it is out of memory (OOM)", ""),
        ("^BUSY", "a script keeps it busy (BUSY)", ""),
    )
)  # fmt: skip

# A closed list: any other first word may be a part of what was sent.
_CODE = re.compile(
    r"(ERR|BUSYGROUP|BUSYKEY|CROSSSLOT|EXECABORT|INPROG|IOERR|NOGOODSLAVE|NOMASTERLINK|NOPROTO|NOQUORUM|NOREPLICAS|"
    r"NOSCRIPT|NOTBUSY|TRYAGAIN|UNBLOCKED|UNKILLABLE|UNSTABLE|WRONGTYPE)(?: |$)"
)

_CONNECT_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (errors.DNSLookupError, "the name of its host cannot be resolved"),
    (errors.ConnectionRefusedError, "it refuses the connection"),
    (errors.ConnectError, "it cannot be reached"),
)


def reply_problem(text: str, *, with_detail: bool = True) -> Problem:
    """Return what an error reply means.

    Args:
        text: The reply.
        with_detail: False if it may repeat a password.
    """
    detail = text if with_detail else ""
    for pattern, summary, advice in _REPLIES:
        if pattern.search(text):
            return Problem(summary, "; ".join(filter(None, (detail, advice))))
    code = _CODE.match(text)
    return Problem(f"it replied with an error{f' ({code[1]})' if code else ''}", detail)


def problem_of(error: BaseException | None) -> Problem:
    """Return what an exception means that ended a connection, or kept one from being made.

    The exception of a connection that ended later has its own `Problem`; see `RedisProblemError`.
    """
    if isinstance(error, RedisProblemError):
        return error.problem
    if isinstance(error, RejectedCertificateError):
        return Problem(error.problem)
    if isinstance(error, SSL.Error):
        return Problem(tls_problem(error), openssl_reasons(error))
    if isinstance(error, (DeferredTimeout, errors.TimeoutError)):
        return Problem("Redis does not answer")
    for kind, summary in _CONNECT_ERRORS:
        if isinstance(error, kind):
            return Problem(summary, str(error))
    if isinstance(error, errors.ConnectionClosed):
        return Problem("the connection ended", str(error))
    return Problem("the connection failed", str(error) or type(error).__name__)
