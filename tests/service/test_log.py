"""Log lines."""

import io
import json

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.service.log import observer


class ObserverTests(SynchronousTestCase):
    """One line an event, from the level up."""

    def logged(self, level: str, style: str, namespace: str = "imd.comet") -> tuple[Logger, io.StringIO]:
        """A logger into a text."""
        out = io.StringIO()
        return Logger(namespace=namespace, observer=LogPublisher(observer(out, level, style))), out

    def test_text(self) -> None:
        """Time, level, part, words; a failure's traceback follows."""
        log, out = self.logged("info", "text")
        log.info("{count} gone", count=3)
        log.debug("unseen")
        self.assertRegex(out.getvalue(), r"^\d{4}-\d\d-\d\dT[\d:.]+Z info  comet: 3 gone\n$")
        try:
            raise ValueError("planted")
        except ValueError:
            log.failure("bug")
        self.assertIn("ValueError: planted", out.getvalue())

    def test_what_twisted_formats(self) -> None:
        """Formats that call, legacy events without one, and those that lack a value or cannot show it are not lost."""
        log, out = self.logged("info", "text")
        log.info("{age()} s, {name!r:>5}", age=lambda: 3, name="a")
        log.emit(LogLevel.info, None)
        log.info("{missing}")
        log.info("{0}", seconds=1)
        log.info("{seconds:.1f} s", seconds="many")
        called, empty, *unformatted = [line.partition("comet: ")[2] for line in out.getvalue().splitlines()]
        self.assertEqual((called, empty), ("3 s,   'a'", ""))
        self.assertEqual(len(unformatted), 3)
        for line in unformatted:
            self.assertTrue(line.startswith("Unable to format event"), line)

    def test_one_of_several(self) -> None:
        """Says on each line which one."""
        out = io.StringIO()
        for style in ("text", "json"):
            made = observer(out, "info", style, "host-2")
            Logger(namespace="imd.comet", observer=LogPublisher(made)).info("gone")
        text, record = out.getvalue().splitlines()
        self.assertRegex(text, r"^\S+ info  host-2 comet: gone$")
        self.assertEqual(json.loads(record)["process"], "host-2")

    def test_a_line_cannot_be_forged(self) -> None:
        """What a client chose stays within its line: ends of lines are indented, other control characters are shown."""
        log, out = self.logged("info", "text")
        log.info("{key} left", key="a\n2026-01-01 info  forged\r\x1b[31m\x9b1m\u2028\ud800é")
        self.assertRegex(
            out.getvalue(), r"^\S+ info  comet: a\n  2026-01-01 info  forged\\r\\x1b\[31m\\x9b1m\\u2028\\ud800é left\n$"
        )
        out.truncate(out.seek(0))
        try:
            raise ValueError("a\n2026-01-01 info  forged")
        except ValueError:
            log.failure("bug")
        self.assertIn("\n  2026-01-01 info  forged\n", out.getvalue())

    def test_json_cannot_be_forged(self) -> None:
        """Every control character is escaped, those beyond ASCII too."""
        log, out = self.logged("info", "json")
        log.info("{key} left", key="a\n\x1b\x9b\u2028\ud800")
        self.assertEqual(out.getvalue().count("\n"), 1)
        self.assertTrue(out.getvalue().rstrip("\n").isprintable())

    def test_json(self) -> None:
        """One object a line; the event's plain fields beside the words."""
        log, out = self.logged("info", "json")
        log.warn("{reason}\nleft", reason="slow", wire=b"hidden")
        record = json.loads(out.getvalue())
        self.assertEqual(
            (record["level"], record["system"], record["message"], record["reason"]),
            ("warn", "comet", "slow\nleft", "slow"),
        )
        self.assertNotIn("wire", record)

    def test_libraries_are_quiet(self) -> None:
        """Twisted's own life events are not the operator's; its warnings are."""
        log, out = self.logged("info", "text", "twisted.internet")
        log.info("Starting factory")
        self.assertEqual(out.getvalue(), "")
        log.warn("trouble")
        self.assertIn("trouble", out.getvalue())
