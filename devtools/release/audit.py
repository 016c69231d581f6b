"""Compares pinned versions with published advisories: `make audit`.

pip-audit asks PyPI about every pinned release. It finds nothing where its data cannot be reached, for instance behind a
mirror; this is printed, and the list below still applies: advisories of the relay's dependencies, and the first release
that fixed each. So a pin below one of them is reported everywhere.

The status is 1 if a pinned release is known to be vulnerable, or differs from the installed one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

__all__ = ["KNOWN", "ask_pip_audit", "pins", "vulnerable"]

ROOT = Path(__file__).parents[2]
FILES = ("requirements.txt", "requirements-dev.txt")
SECONDS = 300

KNOWN = (
    ("autobahn", "20.12.3", "CVE-2020-35678: header injection through the redirect of the status page"),
    ("autobahn", "26.7.1", "GHSA-hxp9-w8x3-p566: unbounded inflation of compressed messages"),
    ("cbor2", "5.6.2", "CVE-2024-26134: crash by a crafted document"),
    ("cryptography", "42.0.4", "CVE-2024-26130: crash in PKCS#12"),
    ("cryptography", "44.0.1", "CVE-2024-12797: OpenSSL, raw public keys not verified"),
    ("idna", "3.7", "CVE-2024-3651: quadratic time"),
    ("pyjwt", "2.4.0", "CVE-2022-29217: key confusion through non-blocklisted public key formats"),
    ("pyjwt", "2.10.1", "CVE-2024-53861: issuer compared as a substring"),
    ("setuptools", "78.1.1", "CVE-2025-47273: path traversal in PackageIndex"),
    ("twisted", "20.3.0", "CVE-2020-10108, CVE-2020-10109: request smuggling"),
    ("twisted", "22.4.0", "CVE-2022-24801: request smuggling"),
    ("twisted", "23.10.0", "CVE-2023-46137: disordered answers to pipelined requests"),
    ("twisted", "24.7.0", "CVE-2024-41671, CVE-2024-41810: disordered answers; HTML injection in redirects"),
    ("twisted", "26.4.0", "CVE-2026-42304: names"),
    ("twisted", "26.10.0", "bare CR and LF in heads, HTTP/2 rapid reset, and what else its release notes list"),
    ("ujson", "5.4.0", "CVE-2022-31116, CVE-2022-31117: surrogates; double free"),
)
"""Package, the first fixed release, and the advisory."""


def pins() -> dict[str, str]:
    """Return the pinned releases by package."""
    lines = [line for file in FILES for line in (ROOT / file).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "."))]
    return {each.name: str(each.specifier).removeprefix("==") for each in found}


def vulnerable(pinned: dict[str, str]) -> list[str]:
    """Return the known advisories that apply to pins, one per line."""
    return [
        f"{name} {pinned[name]}: {what}; fixed in {fixed}"
        for name, fixed, what in KNOWN
        if name in pinned and Version(pinned[name]) < Version(fixed)
    ]


def _installed_otherwise(pinned: dict[str, str]) -> list[str]:
    found = []
    for name, release in pinned.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if installed != release:
            found.append(f"{name}: {release} is pinned, {installed} is installed")
    return found


def ask_pip_audit(program: str, pinned: dict[str, str]) -> tuple[list[str], int]:
    """Return the findings of pip-audit, one per line, and for how many releases it had data."""
    text = "".join(f"{name}=={release}\n" for name, release in pinned.items())
    options = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "-r", "/dev/stdin")
    try:
        answer = subprocess.run(  # noqa: S603 -- our own program
            [program, *options], input=text, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        dependencies = json.loads(answer.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return [], 0
    audited = [each for each in dependencies if "skip_reason" not in each]
    holes = [f"{each['name']} {each['version']}: {hole['id']}" for each in audited for hole in each["vulns"]]
    return holes, len(audited)


def main() -> int:
    """Print the findings; return the exit status."""
    pinned = pins()
    found, audited = ask_pip_audit(sys.argv[1], pinned)
    print(f"audit: pip-audit has data for {audited} of {len(pinned)} pins")
    print(f"audit: compared with {len(KNOWN)} advisories of the list in devtools/release/audit.py")
    for line in (problems := [*found, *vulnerable(pinned), *_installed_otherwise(pinned)]):
        print(f"audit: {line}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
