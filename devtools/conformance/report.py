"""The suite's report: a verdict for each case, a table, and docs/conformance.md."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any

from devtools.conformance.suite import AGENT, REPORT, pinned
from devtools.harness.reporting import markdown_table

__all__ = ["Case", "Verdict", "page", "read", "table"]

GROUPS = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Opcodes",
    5: "Fragmentation",
    6: "UTF-8",
    7: "Closing handshake",
    9: "Limits and performance",
    10: "Automatic fragmentation",
    12: "Compression: payloads",
    13: "Compression: parameters",
}

_NO_SUCH_CODE = (
    "No range of RFC 6455 section 7.4.2 holds this code. The relay takes it for a protocol error and ends the\n"
    "  connection."
)
EXPLANATIONS = {
    "7.1.6": (
        "The relay answers a close frame as soon as it has read it. What has not left by then is dropped, because the\n"
        "  client has said that it leaves (RFC 6455 section 5.5.1 asks for no more); so the message behind the long\n"
        "  one may not come back."
    ),
    "7.13.1": _NO_SUCH_CODE,
    "7.13.2": _NO_SUCH_CODE,
}
"""Why a case is not simply passed, and why that is as it should be."""

_SMALL_WINDOWS = "13.3.", "13.5."
"""The groups whose only offer asks for a window of 512 bytes."""

_DECLINED = (
    "Declined: one compressor with a window of 4 KiB serves all clients, and this client could not decompress what it\n"
    "  sends (RFC 7692 section 7.1.2.1 lets a server decline). The messages were not compressed."
)

_SILENT = (
    "The connection ended without a close frame with a code, which RFC 6455 section 7.1.7 recommends (SHOULD). The\n"
    "  suite itself accepts this."
)

_UNANSWERED = (
    "The client's close frame was not answered, although RFC 6455 section 5.5.1 requires it (MUST). The suite itself "
    "accepts this."
)

_MESSAGES = "OK", "NON-STRICT", "INFORMATIONAL"
_CONNECTION = "OK", "INFORMATIONAL", "FAILED BY CLIENT"


class Verdict(Enum):
    """The verdict on a case. The value is the heading of its column."""

    PASSED = "passed"
    NON_STRICT = "non-strict"
    INFORMATIONAL = "informational"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a report.

    Attributes:
        number: The suite's number, such as "9.1.6".
        behavior: The suite's verdict on the messages.
        behavior_close: The suite's verdict on the end of the connection.
        silent: True if the relay ended the connection without a close frame.
        file: The detailed report, in the folder of the report.
    """

    number: str
    behavior: str
    behavior_close: str
    silent: bool
    file: Path

    @property
    def key(self) -> tuple[int, ...]:
        """The number as integers, for sorting."""
        return tuple(int(part) for part in self.number.split("."))

    @property
    def unanswered(self) -> bool:
        """True if a valid close frame got no answer, in the one case where the suite does not check it."""
        return self.silent and self.number == "7.1.6"

    @property
    def is_declined(self) -> bool:
        """True if the relay declined an offer that it is right to decline."""
        return self.behavior == "UNIMPLEMENTED" and self.number.startswith(_SMALL_WINDOWS)

    @property
    def verdict(self) -> Verdict:
        """The verdict, stricter than the suite's, which accepts a wrong close code or none."""
        if self.is_declined and self.behavior_close == "OK":
            return Verdict.INFORMATIONAL
        if self.unanswered or self.behavior not in _MESSAGES or self.behavior_close not in _CONNECTION:
            return Verdict.FAILED
        if self.behavior == "INFORMATIONAL" and not self.silent:
            return Verdict.INFORMATIONAL
        if self.silent or (self.behavior, self.behavior_close) != ("OK", "OK"):
            return Verdict.NON_STRICT
        return Verdict.PASSED

    def detail(self, key: str) -> str:
        """Return "description", "expectation", "result" or "resultClose" of the detailed report, without tags."""
        text = str(_load(self.file)[key])
        return " ".join(re.sub(r"<[^>]*>", "", text.replace("<br", " <br")).split())

    def explanation(self) -> str:
        """Return why the case neither passed nor failed."""
        if self.is_declined:
            return _DECLINED
        return _SILENT if self.silent else EXPLANATIONS.get(self.number) or self.detail("result")

    def explain_failure(self) -> str:
        """Return everything about a failure but its wire log."""
        happened = self.detail("result")
        if self.behavior == "UNIMPLEMENTED":
            happened = "The relay did not agree to the extension that was offered."
        elif self.unanswered:
            happened = _UNANSWERED
        lines = [
            f"case {self.number}: {self.behavior}, close: {self.behavior_close}",
            f"  did:      {self.detail('description')}",
            f"  expected: {self.detail('expectation')}",
            f"  happened: {happened} {self.detail('resultClose')}",
            f"  wire log: {self.file.with_suffix('.html')}",
        ]
        return "\n".join(lines)


def read(folder: Path = REPORT) -> list[Case]:
    """Return the cases of a report, in order."""
    cases = []
    for number, row in _load(folder / "index.json").get(AGENT, {}).items():
        file = folder / row["reportfile"]
        silent = row["remoteCloseCode"] is None and not _load(file)["wasClean"]
        cases.append(Case(number, row["behavior"], row["behaviorClose"], silent, file))
    return sorted(cases, key=lambda case: case.key)


def _load(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def table(cases: Iterable[Case]) -> str:
    """Return a Markdown table with the number of cases per group and verdict."""
    counts: dict[int, Counter[Verdict]] = {}
    for case in cases:
        counts.setdefault(case.key[0], Counter())[case.verdict] += 1
    rows: list[list[str]] = []
    for group, count in counts.items():
        rows.append([f"{group}.*", GROUPS.get(group, ""), *(str(count[verdict]) for verdict in Verdict)])
    total = sum(counts.values(), Counter[Verdict]())
    rows.append(["all", "", *(str(total[verdict]) for verdict in Verdict)])
    return markdown_table(["group", "", *(verdict.value for verdict in Verdict)], rows)


def page(cases: Sequence[Case], *, compression: bool) -> str:
    """Return docs/conformance.md for a report without failures.

    It has no date and no durations, so that it changes only when a result does.
    """
    parts = [
        "# Conformance",
        "Results of the fuzzing client of the [Autobahn test suite](https://github.com/crossbario/autobahn-testsuite)\n"
        "against the relay's own router and WebSocket protocol, over real sockets, with every message sent back\n"
        "unchanged.\n"
        "Generated by `make conformance ARGS=--write`; do not edit.",
        f"wsrelay {metadata.version('wsrelay')}, Autobahn {metadata.version('autobahn')}, "
        f"Twisted {metadata.version('twisted')}, Autobahn test suite {pinned('autobahntestsuite')}",
        table(cases),
    ]
    for verdict, meaning in (
        (
            Verdict.NON_STRICT,
            "Conformant, but not the behavior that the protocol recommends (SHOULD) or the suite prefers.",
        ),
        (Verdict.INFORMATIONAL, "The protocol allows more than one behavior; the suite records which one it saw."),
    ):
        if chosen := [case for case in cases if case.verdict is verdict]:
            lines = [
                f"- **{case.number}**: {case.detail('description').rstrip('.')}.\n  {case.explanation()}"
                for case in chosen
            ]
            parts += [f"## {verdict.value.capitalize()}", meaning, "\n".join(lines)]
    parts += ["## Not run", _NOT_THERE if compression else f"{_NOT_THERE}\n{_NO_COMPRESSION}"]
    return "\n\n".join(parts) + "\n"


_NOT_THERE = "- The suite has no groups 8 and 11."
_NO_COMPRESSION = (
    "- 12.\\* and 13.\\*, compression: the protocol class does not negotiate permessage-deflate by default.\n"
    "  `make conformance ARGS=--compression` runs them."
)
