"""The code blocks of the documents, and what stands for the machine that they are written for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from twisted.trial.unittest import SkipTest

from devtools.harness.processes import ChildProcess, wait_until_listening
from devtools.harness.relay import clean_environ

__all__ = ["ROOT", "DocumentedRelay", "Shell", "code_block", "code_blocks", "require_program", "substitute"]

ROOT = Path(__file__).parents[2]

# In place of redis-cli, which is not everywhere where a server is: the same command line, to the test's own server.
_REDIS_CLI = """\
#!{python}
import sys
import valkey
client = valkey.Valkey(host="127.0.0.1", port={port})
reply = client.execute_command(*sys.argv[1:])
print(reply.decode() if isinstance(reply, bytes) else reply)
"""


def code_blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a language on a page, in order.

    Args:
        page: The page's path from the root of the repository.
        language: What stands behind the fence, such as ``sh``.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def code_block(page: str, language: str, part: str) -> str:
    """Return the one code block of a language that has a text in it.

    Raises:
        AssertionError: There are none, or several.
    """
    found = [block for block in code_blocks(page, language) if part in block]
    if len(found) != 1:
        raise AssertionError(f"{page} has {len(found)} blocks of {language} with {part!r}")
    return found[0]


def substitute(text: str, replacements: Mapping[str, str]) -> str:
    """Return a text with the values of this machine in place of printed ones.

    Raises:
        AssertionError: One of the printed ones is not there.
    """
    for printed, value in replacements.items():
        if printed not in text:
            raise AssertionError(f"{printed!r} is not in:\n{text}")
        text = text.replace(printed, value)
    return text


def require_program(name: str) -> str:
    """Return the path of a program.

    Raises:
        SkipTest: It is not installed.
        AssertionError: It is not installed in continuous integration (CI is set), where a skip would go unnoticed.
    """
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        text = f"{name} is not installed"
        if os.environ.get("CI"):
            raise AssertionError(text)
        raise SkipTest(text)
    return found


class Shell:
    """Runs printed commands: `twistd` is the one that is tested, `redis-cli` reaches the test's server.

    Args:
        folder: A folder for the programs that stand for installed ones.
        redis_port: The port of the test's server.
        **variables: More environment variables.

    Attributes:
        environment: The environment variables of the commands.
    """

    def __init__(self, folder: Path, redis_port: int = 0, **variables: str) -> None:
        programs = (folder / "bin").resolve()
        programs.mkdir(parents=True)
        redis_cli = programs / "redis-cli"
        redis_cli.write_text(_REDIS_CLI.format(python=sys.executable, port=redis_port))
        redis_cli.chmod(0o755)
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = clean_environ({"PATH": path, **variables})

    def run(self, commands: str) -> str:
        """Run commands and return what they print.

        Raises:
            AssertionError: One of them failed.
        """
        done = subprocess.run(
            ["sh", "-e"], input=commands, env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )
        if done.returncode:
            raise AssertionError(f"{commands!r} ended with {done.returncode}: {done.stderr}")
        return done.stdout


class DocumentedRelay(ChildProcess):
    """A relay that a printed command starts.

    Args:
        command: The command: perhaps assignments, then ``twistd`` and its arguments.
        environment: Its environment variables.
        port: A port on which it then listens.

    Attributes:
        port: This port.
        url: ``http://127.0.0.1:port``.
    """

    def __init__(self, command: str, environment: Mapping[str, str], port: int) -> None:
        super().__init__("documented-relay")
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._command = command
        self._environment = environment

    def __enter__(self) -> Self:
        self.spawn(["sh", "-c", f"exec env {self._command}"], self._environment)
        try:
            wait_until_listening(self, self.port, 30.0)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.close()
