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

ROOT = Path(__file__).parent.parent.parent


class WheelTests(SynchronousTestCase):
    """The wheel, built from this source tree."""

    def test_wheel_has_plugin_and_page_and_its_relay_runs(self) -> None:
        """It has no package file in Twisted's folders, which would break Twisted."""
        folder = Path(self.mktemp()).absolute()
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
            check=True,
            capture_output=True,
            timeout=300,
        )
        (wheel,) = folder.glob("*.whl")
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
