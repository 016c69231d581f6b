"""Tests of the benchmark's imports."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from devtools.bench.paths import PROJECT

MODULES = ("devtools.bench.__main__", "devtools.bench.check")


class ImportTests(SynchronousTestCase):
    """The benchmark runs in environments without the packages of the tests."""

    def test_benchmark_imports_the_standard_library_only(self) -> None:
        program = (
            "import sys\n"
            f"for name in {MODULES!r}: __import__(name)\n"
            "names = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
            "print(sorted(name for name in names if not name.startswith('_')))\n"
        )
        # -S: no site-packages, so that an import of another package fails.
        done = subprocess.run(
            [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=False, cwd=PROJECT
        )
        self.assertEqual(done.stdout.strip(), "['devtools']", done.stderr)
