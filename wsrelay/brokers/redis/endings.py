"""The reason why a connection to Redis ended or is silent, by what came on it before."""

from __future__ import annotations

from twisted.internet.error import ConnectionClosed

from wsrelay.brokers.redis.problems import NO_PROBLEM, Problem, problem_of, reply_problem

__all__ = ["Ending"]


class Ending:
    """Finds the reason why one connection ended or does not answer.

    Attributes:
        is_in_tls_handshake: Whether the TLS handshake is under way.
        is_authenticating: Whether AUTH is under way, whose error reply may repeat the password.
    """

    __slots__ = ("_farewell", "is_authenticating", "is_in_tls_handshake")

    def __init__(self) -> None:
        self.is_in_tls_handshake = False
        self.is_authenticating = False
        # What an error reply meant that nothing but the end has followed yet, before the first reply to a PING.
        self._farewell = NO_PROBLEM

    def reply_received(self, error: str | None) -> None:
        """Take a reply.

        Args:
            error: The text of an error reply. If None, it is another one.
        """
        self._farewell = NO_PROBLEM if error is None else reply_problem(error, with_detail=not self.is_authenticating)

    @property
    def silence(self) -> Problem:
        """The meaning of a server that does not answer."""
        if self._farewell.summary:
            return self._farewell
        if self.is_in_tls_handshake:
            return Problem("it does not answer the TLS handshake: does this port speak TLS? (redis:// is without)")
        return Problem("Redis does not answer")

    def problem(self, error: BaseException | None, reads: int) -> Problem:
        """Return what it means that the connection ended by itself.

        Args:
            error: The error of the transport.
            reads: The number of reads that brought anything.
        """
        if self._farewell.summary:
            return self._farewell
        if isinstance(error, ConnectionClosed) and self.is_in_tls_handshake:
            return Problem(
                "it ended the connection during the TLS handshake: this port has no TLS, or it has too many clients",
                str(error),
            )
        if isinstance(error, ConnectionClosed) and not reads:
            return Problem(
                "it ended the connection before its first reply: a port with TLS needs a rediss:// URL", str(error)
            )
        return problem_of(error)
