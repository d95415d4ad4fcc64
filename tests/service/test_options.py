"""The command line: what it teaches, what it refuses."""

import io
import os
import sys
from pathlib import Path
from typing import ClassVar

from twisted.logger import ILogObserver, Logger, LogPublisher
from twisted.python.usage import Options as UsageOptions
from twisted.trial.unittest import SynchronousTestCase

from imd import __version__
from imd.config import Role
from imd.errors import ConfigError
from imd.service import comet, job, logic, standalone
from imd.service.options import Options


class CometOptions(Options):
    """A role's."""

    role: ClassVar[Role] = "comet"


class OptionsTests(SynchronousTestCase):
    """As twistd parses it."""

    def parsed(self, *arguments: str) -> Options:
        options = CometOptions()
        options.parseOptions(list(arguments))
        return options

    def test_settings(self) -> None:
        """File, then --set in order, then --id."""
        path = Path(self.mktemp())
        path.write_text('[comet]\ntcp = "127.0.0.1:1"\nwebsocket = "127.0.0.1:2"\n')
        settings = self.parsed(
            "--config", str(path), "--set", "comet.tcp=127.0.0.1:3", "-s", "comet.tcp=127.0.0.1:4", "--id", "c7"
        ).settings
        self.assertEqual((settings.comet.tcp, settings.comet.websocket), ("127.0.0.1:4", "127.0.0.1:2"))
        self.assertEqual(settings.server.id, "c7")

    def test_wrong(self) -> None:
        """The fault in plain lines and exit status 1, and not the help around it."""
        ended = self.assertRaises(SystemExit, self.parsed, "--set", "comet.tpc=1")
        self.assertEqual(str(ended), "--set comet.tpc: no such key; did you mean comet.tcp?")

    def test_check(self) -> None:
        """--check ends before anything is bound: 0, or the faults."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        ended = self.assertRaises(SystemExit, self.parsed, "--check")
        self.assertEqual((ended.code, out.getvalue()), (0, "defaults: good\n"))
        refused = self.assertRaises(SystemExit, self.parsed, "--check", "--config", "/none/such")
        self.assertIn("/none/such: cannot be read", str(refused.code))

    def test_version(self) -> None:
        """imd's, not Twisted's."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        ended = self.assertRaises(SystemExit, self.parsed, "--version")
        self.assertEqual((ended.code, out.getvalue()), (0, f"imd {__version__}\n"))

    def test_help(self) -> None:
        """Each role's names its listeners or its products, and the way to all of imd in one process."""
        for module in (comet, logic, job, standalone):
            text = str(module.Options())
            for word in ("--config", "--set", "--check", "--id", "twistd imd"):
                self.assertIn(word, text, module.__name__)


class LogTests(SynchronousTestCase):
    """Where the log goes, by twistd's own options."""

    def observer(self, **twistd: object) -> ILogObserver | None:
        options = CometOptions()
        options.parseOptions(["--set", "log.level=warn"])
        parent = UsageOptions()
        parent.update({"nodaemon": 0, "logfile": None, "logger": None, "syslog": False, **twistd})
        options.parent = parent
        return options.observer()

    def test_to_a_file(self) -> None:
        """--logfile, and twistd.log for a daemon that was told nothing: by [log], as on a terminal."""
        folder = Path(self.mktemp())
        folder.mkdir()
        here = Path.cwd()
        os.chdir(folder)
        self.addCleanup(os.chdir, here)
        for path, made in (("x.log", self.observer(logfile="x.log")), ("twistd.log", self.observer())):
            assert made is not None
            log = Logger(namespace="imd.comet", observer=LogPublisher(made))
            log.info("unseen")
            log.warn("seen")
            self.assertRegex(Path(path).read_text(), r"^\S+ warn  comet: seen\n$")

    def test_left_to_twistd(self) -> None:
        """An observer of the operator's own, and syslog."""
        self.assertIsNone(self.observer(logger="my.observer", nodaemon=1))
        self.assertIsNone(self.observer(syslog=True, nodaemon=1))

    def test_not_writable(self) -> None:
        """One line."""
        refused = self.assertRaises(ConfigError, self.observer, logfile="/none/such")
        self.assertEqual(str(refused), "--logfile /none/such: no such file or directory")
