"""Tests of `wsrelay.process.twistd_options`."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.outcomes.errors import ConfigError
from wsrelay.process.twistd_options import check_twistd_options, remove_own_pidfile


class OptionTests(SynchronousTestCase):
    """Options that twistd can use, and others."""

    def error(self, **options: Any) -> str:
        """Return the error about options, or "nothing"."""
        try:
            check_twistd_options({"nodaemon": True, **options})
        except ConfigError as error:
            return str(error)
        return "nothing"

    def test_paths_that_can_be_used_are_accepted(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "old.log").touch()
        for name in ("old.log", "new.log"):
            file = str(folder / name)
            self.assertEqual(self.error(rundir=str(folder), pidfile=file, logfile=file), "nothing")
        self.assertEqual(self.error(rundir=".", pidfile="", logfile="-"), "nothing")
        check_twistd_options({})

    def test_missing_directory_is_named(self) -> None:
        for option in ("pidfile", "logfile"):
            self.assertEqual(
                self.error(**{option: "/nonexistent/x"}), f"twistd --{option}: there is no directory /nonexistent"
            )
        self.assertEqual(self.error(rundir="/nonexistent"), "twistd --rundir: there is no directory /nonexistent")

    def test_file_that_cannot_be_written_is_named(self) -> None:
        folder = self.mktemp()
        Path(folder).mkdir()
        self.assertEqual(self.error(logfile=folder), f"twistd --logfile: {folder} cannot be written")
        self.patch(os, "access", lambda *_given: False)
        self.assertEqual(self.error(nodaemon=False), "twistd --logfile: twistd.log cannot be written")

    def test_log_file_is_not_needed_where_the_log_goes_elsewhere(self) -> None:
        for elsewhere in ({"syslog": True}, {"logger": print}):
            self.assertEqual(self.error(logfile="/nonexistent/x", **elsewhere), "nothing")

    def test_paths_inside_another_root_are_not_checked(self) -> None:
        self.patch(os, "geteuid", lambda: 0)
        self.assertEqual(self.error(chroot="/", rundir="/nonexistent"), "nothing")
        self.assertEqual(self.error(chroot="/nonexistent"), "twistd --chroot: there is no directory /nonexistent")
        self.patch(os, "geteuid", lambda: 1)
        self.assertEqual(self.error(chroot="/"), "twistd --chroot: only root may do this")

    def test_daemon_needs_the_null_device_inside_its_root(self) -> None:
        self.patch(os, "geteuid", lambda: 0)
        root = Path(self.mktemp())
        (root / "dev").mkdir(parents=True)
        self.assertEqual(
            self.error(chroot=str(root), nodaemon=False),
            f"twistd becomes a daemon with {root}/dev/null as its standard streams, which cannot be opened: No such "
            "file or directory; provide it, or start twistd with --nodaemon",
        )
        self.assertEqual(self.error(chroot=str(root), nodaemon=True), "nothing")
        (root / "dev/null").symlink_to("/dev/null")
        self.assertEqual(self.error(chroot=str(root), nodaemon=False), "nothing")

    def test_daemon_needs_the_null_device_without_another_root_too(self) -> None:
        opened: list[str] = []

        def missing(path: str, _flags: int) -> None:
            opened.append(path)
            raise FileNotFoundError(2, "No such file or directory")

        self.patch(os, "open", missing)
        self.assertIn("/dev/null as its standard streams", self.error(nodaemon=False, syslog=True))
        self.assertEqual(opened, ["/dev/null"])
        check_twistd_options({})

    def test_user_without_an_entry_needs_a_group(self) -> None:
        def no_entry(_uid: int) -> None:
            raise KeyError

        self.assertEqual(self.error(uid=os.getuid()), "nothing")
        self.patch(pwd, "getpwuid", no_entry)
        self.assertEqual(self.error(uid=99999), "twistd --uid: there is no user 99999 that has a group; set --gid, too")
        self.assertEqual(self.error(uid=99999, gid=99999), "nothing")


class PidFileTests(SynchronousTestCase):
    """A pid file from before."""

    def remains(self, text: str, **more: Any) -> bool:
        """Return whether a pid file with a text is still there."""
        file = Path(self.mktemp())
        file.write_text(text)
        remove_own_pidfile({"pidfile": str(file), **more})
        return file.exists()

    def test_pid_file_with_this_process_id_is_stale(self) -> None:
        self.assertFalse(self.remains(f"{os.getpid()}\n"))

    def test_any_other_pid_file_is_left_to_twistd(self) -> None:
        for text in ("1", "nonsense", ""):
            self.assertTrue(self.remains(text))
        self.assertTrue(self.remains(str(os.getpid()), chroot="/"))

    def test_missing_pid_file_is_no_error(self) -> None:
        for options in ({}, {"pidfile": ""}, {"pidfile": "/nonexistent"}):
            remove_own_pidfile(options)
