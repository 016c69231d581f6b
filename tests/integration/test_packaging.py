"""The contents of the wheel, and the relay installed from it."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import connect

from devtools.harness.relay import Relay, clean_environ
from wsrelay import __version__

ROOT = Path(__file__).parent.parent.parent


def build_wheel(folder: Path) -> Path:
    """Build the wheel into a folder, and return its path."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


class CommandRelay(Relay):
    """A relay that `wsrelay run` starts.

    Args:
        command: The path of the command.
    """

    def __init__(self, command: str) -> None:
        super().__init__()
        self._command = [command, "run", "--port", str(self.port)]


class WheelTests(SynchronousTestCase):
    """The wheel, built from this source tree."""

    def test_wheel_has_plugin_and_page_and_its_relay_runs(self) -> None:
        """It has no package file in Twisted's folders, which would break Twisted."""
        folder = Path(self.mktemp()).absolute()
        wheel = build_wheel(folder)
        names = zipfile.ZipFile(wheel).namelist()
        self.assertIn("twisted/plugins/wsrelay_plugin.py", names)
        self.assertIn("wsrelay/py.typed", names)
        self.assertLessEqual({f"wsrelay/web/static/chat.{kind}" for kind in ("html", "css", "js")}, set(names))
        self.assertEqual([name for name in names if name.startswith(("tests", "devtools"))], [])
        self.assertEqual([name for name in names if name.startswith("twisted/") and name.endswith("__init__.py")], [])

        # An environment of its own that sees this one's libraries but not its editable wsrelay: installed here, it
        # comes first on the path.
        home = folder / "environment"
        venv.create(home, with_pip=False, symlinks=True)
        site = next((home / "lib").glob("python3.*")) / "site-packages"
        here = next(path for path in sys.path if path.endswith("site-packages"))
        (site / "libraries.pth").write_text(f"{here}\n")
        zipfile.ZipFile(wheel).extractall(site)
        script = home / "bin" / "twistd"
        python = home / "bin" / "python"
        script.write_text(f"#!{python}\nimport sys\nfrom twisted.scripts.twistd import run\nsys.exit(run())\n")
        script.chmod(0o755)
        found = subprocess.run(
            [str(python), "-c", "import wsrelay; print(wsrelay.__file__)"],
            capture_output=True, text=True, check=True, cwd=folder, env=clean_environ(),
        )  # fmt: skip
        self.assertTrue(found.stdout.startswith(str(site)), found.stdout)
        with Relay(python=str(python)) as relay, connect(relay.ws("chat"), proxy=None, legacy=True) as client:
            client.send("from a wheel")
            self.assertEqual(client.recv(20), "from a wheel")

    def test_installed_wheel_has_a_command_that_runs_without_a_checkout(self) -> None:
        """As pipx and `uv tool` install it: into an environment of its own, by the metadata of the wheel."""
        folder = Path(self.mktemp()).absolute()
        wheel = build_wheel(folder)
        home = folder / "environment"
        venv.create(home, with_pip=False, symlinks=True)
        python = str(home / "bin" / "python")
        here = next(path for path in sys.path if path.endswith("site-packages"))
        site = next((home / "lib").glob("python3.*")) / "site-packages"
        (site / "libraries.pth").write_text(f"{here}\n")
        options = ("--no-deps", "--no-index", "--ignore-installed", "--quiet", "--disable-pip-version-check")
        subprocess.run(
            [python, "-m", "pip", "install", *options, str(wheel)],
            check=True, capture_output=True, timeout=300, cwd=folder, env=clean_environ(),
        )  # fmt: skip
        command = str(home / "bin" / "wsrelay")
        shown = subprocess.run(
            [command, "--version"], capture_output=True, text=True, check=True, cwd=folder, env=clean_environ()
        )
        self.assertEqual(shown.stdout, f"wsrelay {__version__}\n")
        found = subprocess.run(
            [python, "-c", "import wsrelay; print(wsrelay.__file__)"],
            capture_output=True, text=True, check=True, cwd=folder, env=clean_environ(),
        )  # fmt: skip
        self.assertTrue(found.stdout.startswith(str(site)), found.stdout)
        with CommandRelay(command) as relay:
            self.assertTrue(relay.wait_for("/healthz").startswith("alive"))
            self.assertEqual(relay.get("/readyz"), (200, "ready\n"))
