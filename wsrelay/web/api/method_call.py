"""One request to an API method, or a batch of them: reads the body, and puts results and errors into their envelope."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.server import Request

from wsrelay.core.wire.json_text import parse_json
from wsrelay.web.api.call import CALL_TIMEOUT_SECONDS, APIError, APIResponse, read_body
from wsrelay.web.api.fields import Fields
from wsrelay.web.api.method_errors import BAD_REQUEST, INTERNAL, LIMIT_EXCEEDED, NOT_FOUND, MethodError, method_error
from wsrelay.web.api.methods import Method, Methods

__all__ = ["BATCH", "MAX_BATCH", "MAX_BATCH_BYTES", "MethodCaller"]

BATCH = "batch"
"""The name of the method that carries out several others."""

MAX_BATCH = 1000
"""The most commands in one batch."""

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Replies of one batch, in bytes, beyond which its further commands are not carried out."""

PARALLEL = 16
"""Commands of one batch that are under way at the same time, where it permits that."""

_ERROR_MODE = b"x-centrifugo-error-mode"


class MethodCaller:
    """Carries out requests to the methods.

    Args:
        methods: The methods.
        clock: Runs the timeout.
    """

    log = Logger()

    def __init__(self, methods: Methods, clock: IReactorTime) -> None:
        self._methods = methods.by_name
        self._clock = clock

    def __contains__(self, name: str) -> bool:
        """Return whether there is a method of this name."""
        return name == BATCH or name in self._methods

    async def call(self, name: str, request: Request) -> APIResponse:
        """Carry out a request whose key has been checked, and return the response.

        Args:
            name: The method's name.
            request: The request. Its body is a JSON object; one that is empty stands for an empty object.

        Raises:
            APIError: The body is not a JSON object.
        """
        fields = Fields(_read_object(request))
        work = self._batch(fields) if name == BATCH else self._envelope(self._methods[name], fields)
        try:
            return 200, await Deferred.fromCoroutine(work).addTimeout(CALL_TIMEOUT_SECONDS, self._clock)
        except Exception as error:  # noqa: BLE001 -- every outcome has its form here
            found = self._error(error)
            if request.requestHeaders.getRawHeaders(_ERROR_MODE) == [b"transport"]:
                return found.status, found.to_json()
            return 200, b'{"error":%s}' % found.to_json()

    @staticmethod
    async def _envelope(method: Method, fields: Fields) -> bytes:
        return b'{"result":%s}' % await method(fields)

    async def _batch(self, fields: Fields) -> bytes:
        commands = fields.items("commands", MAX_BATCH)
        batch = _Batch(self._reply, DeferredSemaphore(PARALLEL if fields.flag("parallel") else 1))
        return b'{"replies":[%s]}' % b",".join(await batch.run(commands))

    async def _reply(self, command: object) -> bytes:
        try:
            name, method, fields = self._read_command(command)
            return b'{"%s":%s}' % (name.encode(), await method(fields))
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 -- as above; the other commands are carried out in any case
            return b'{"error":%s}' % self._error(error).to_json()

    def _read_command(self, command: object) -> tuple[str, Method, Fields]:
        if not isinstance(command, dict) or len(command) != 1:
            raise MethodError(BAD_REQUEST, 'a command of a batch looks like {"publish": {...}}')
        ((name, document),) = command.items()
        method = self._methods.get(name)
        if method is None:
            raise MethodError(NOT_FOUND)
        if not isinstance(document, dict):
            raise MethodError(BAD_REQUEST, "a command of a batch holds an object")
        return name, method, Fields(document)

    def _error(self, error: Exception) -> MethodError:
        found = method_error(error)
        if found is None:
            self.log.failure("an API method failed")
            found = MethodError(INTERNAL, "the relay failed; its log has the traceback")
        return found


class _Batch:
    """Carries out commands, a bounded number at the same time, until their replies are too long."""

    def __init__(
        self, reply: Callable[[object], Coroutine[Deferred[Any], Any, bytes]], slots: DeferredSemaphore
    ) -> None:
        self._reply = reply
        self._slots = slots
        self._length = 0

    async def run(self, commands: list[object]) -> list[bytes]:
        begun = [self._slots.run(self._run, command) for command in commands]
        try:
            return [await each for each in begun]
        finally:
            # Only where the time is up is there any left.
            for each in begun:
                each.addErrback(lambda _failure: None)
                each.cancel()

    def _run(self, command: object) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._run_one(command))

    async def _run_one(self, command: object) -> bytes:
        if self._length > MAX_BATCH_BYTES:
            error = MethodError(LIMIT_EXCEEDED, f"the replies of this batch have more than {MAX_BATCH_BYTES} bytes")
            return b'{"error":%s}' % error.to_json()
        reply = await self._reply(command)
        self._length += len(reply)
        return reply


def _read_object(request: Request) -> dict[str, Any]:
    try:
        document = parse_json(read_body(request) or b"{}")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise APIError(400, "The body must be a JSON object.")
    return document
