"""The log's file, and those who move it."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.service.log_file import LogFile


class LogFileTests(SynchronousTestCase):
    """Beside a logrotate."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_text("before\n")
        self.file = LogFile(str(self.path))
        self.addCleanup(self.file.close)

    def say(self, line: str) -> None:
        self.file.write(line + "\n")
        self.file.flush()

    def test_appends(self) -> None:
        """What a start before this one wrote stays."""
        self.say("one")
        self.assertEqual(self.path.read_text(), "before\none\n")

    def test_moved(self) -> None:
        """The next line begins a new file, without a signal; no line is lost or written twice."""
        self.say("one")
        moved = self.path.rename(self.path.with_suffix(".1"))
        self.say("two")
        self.say("three")
        self.assertEqual((moved.read_text(), self.path.read_text()), ("before\none\n", "two\nthree\n"))

    def test_nowhere_to_begin(self) -> None:
        """It goes on in the file that was moved."""
        folder = Path(self.mktemp())
        folder.mkdir()
        file = LogFile(str(folder / "log"))
        self.addCleanup(file.close)
        moved = folder.rename(folder.with_suffix(".1"))
        file.write("one\n")
        file.flush()
        self.assertEqual((moved / "log").read_text(), "one\n")

    def test_cannot_begin_at_all(self) -> None:
        """That is the caller's to say."""
        self.assertRaises(FileNotFoundError, LogFile, "/none/such/log")
