"""Tests of `wsrelay.process.limits`. The limit of this process stays as it is."""

from __future__ import annotations

import resource

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.process.limits import MAX_OPEN_FILES, RESERVED_OPEN_FILES, client_capacity, raise_open_file_limit


class OpenFileTests(SynchronousTestCase):
    """The limit of open files."""

    def limits(self, soft: int, hard: int, error: Exception | None = None) -> list[tuple[int, int]]:
        """Pretend that these are the limits; return the list of those that are set."""
        requested: list[tuple[int, int]] = []

        def setrlimit(_kind: int, limits: tuple[int, int]) -> None:
            if error is not None:
                raise error
            requested.append(limits)

        self.patch(resource, "getrlimit", lambda _kind: (soft, hard))
        self.patch(resource, "setrlimit", setrlimit)
        return requested

    def test_soft_limit_is_raised_to_the_hard_one(self) -> None:
        requested = self.limits(1024, 4096)
        self.assertEqual(raise_open_file_limit(), 4096)
        self.assertEqual(requested, [(4096, 4096)])

    def test_missing_hard_limit_counts_as_a_million(self) -> None:
        self.limits(1024, resource.RLIM_INFINITY)
        self.assertEqual(raise_open_file_limit(), MAX_OPEN_FILES)

    def test_limit_that_cannot_be_raised_stays_and_is_logged(self) -> None:
        for error in (ValueError(), OSError()):
            self.limits(256, resource.RLIM_INFINITY, error)
            with capturedLogs() as events:
                self.assertEqual(raise_open_file_limit(), 256)
            self.assertIn("stays at", events[0]["log_format"])

    def test_clients_and_a_tenth_of_them_more_fit_into_what_is_not_reserved(self) -> None:
        self.assertEqual(client_capacity(RESERVED_OPEN_FILES + 1100), 1000)
        self.assertLess(client_capacity(RESERVED_OPEN_FILES + 1), 1)
        for open_files in range(RESERVED_OPEN_FILES, 2000, 7):
            clients = client_capacity(open_files)
            self.assertLessEqual(RESERVED_OPEN_FILES + clients + clients // 10, open_files)
