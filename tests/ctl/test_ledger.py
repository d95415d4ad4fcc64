"""imdctl ledger: its table, its words, its exit status."""

import os

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Site

from imd.ctl.ledger import as_json, as_text, explanation, remarks
from imd.ledger import OTHERS, Balance
from imd.metrics import Metrics
from tests.ctl.test_admin_api import Admin
from tests.ctl.test_push import IMDCTL
from tests.support.reactor import reactor

GOOD = Balance("api", "pushes", {"asked for": 12}, {"accepted": 1, "overloaded": 10}, {"not answered": 1}, 0, 0)
BAD = Balance("broker", "entries", {"stored": 1234567}, {"committed": 1}, {}, 2, 1234566)
EMPTY = Balance("outbox", "packets", {}, {}, {}, 0, 0)


class TextTests(SynchronousTestCase):
    """What is printed."""

    def test_table(self) -> None:
        """Columns in line, what a sum is made of below, the difference last."""
        expected = """\
layer   counts        in  out  pending  difference
api     pushes        12   11        1           0
        asked for 12: overloaded 10, accepted 1, not answered 1
broker  entries  1234567    1        0     1234566
        stored 1234567: committed 1, perhaps 2 more
outbox  packets        0    0        0           0"""
        self.assertEqual(as_text([GOOD, BAD, EMPTY]), expected)

    def test_json(self) -> None:
        """One object, with everything that the table has."""
        found = msgspec.json.decode(as_json([GOOD, EMPTY], {"a": 1.5}))
        self.assertEqual((found["balanced"], found["started"]), (True, {"a": 1.5}))
        self.assertEqual(
            found["accounts"][0],
            {
                "layer": "api",
                "counts": "pushes",
                "in": {"asked for": 12},
                "out": {"accepted": 1, "overloaded": 10},
                "pending": {"not answered": 1},
                "unsure": 0,
                "left_out": {},
                "difference": 0,
            },
        )
        self.assertFalse(msgspec.json.decode(as_json([BAD], {}))["balanced"])

    def test_explanation(self) -> None:
        """Which layers, what may be the cause, and when the processes began, the oldest first."""
        words = explanation([GOOD, BAD], {"new": 1_800_000_000.0, "old": 1_700_000_000.0, "mute": 0})
        self.assertEqual(
            words.splitlines(),
            [
                "Not balanced: broker.",
                "Some are still under way: when traffic has ended, look again.",
                "The counters of a process that was not asked are missing. Those that were asked began at:",
                "  (it does not say)  mute",
                "  2023-11-14 22:13:20 UTC  old",
                "  2027-01-15 08:00:00 UTC  new",
            ],
        )

    def test_remarks(self) -> None:
        """What was left out is said: by which process, and how much."""
        dead = Balance("hand over", "items", {}, {}, {}, 0, 0, {"c1@5": 7})
        store = Balance("append", "entries", {"stored": 1, OTHERS: 4}, {"appended": 5}, {}, 0, 0)
        self.assertEqual(
            remarks([store, dead, GOOD]),
            [
                "append: 4 entries by processes that ended or were not asked; only the store has counted them.",
                "hand over: left out 7 items with c1@5, which ended or was not asked.",
            ],
        )
        self.assertEqual(len(msgspec.json.decode(as_json([store, dead], {}))["remarks"]), 2)


class LedgerTests(TestCase):
    """The program against processes that count what they are told."""

    async def serve(self, metrics: Metrics) -> str:
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Site(Admin(metrics)))
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}"

    async def run_ledger(self, *arguments: str) -> tuple[str, str, int]:
        """(stdout, stderr, exit status)."""
        out, err, code = await getProcessOutputAndValue(
            IMDCTL[0], (*IMDCTL[1:], "ledger", *arguments), env=dict(os.environ), reactor=reactor
        )
        return out.decode(), err.decode(), code

    async def test_balanced(self) -> None:
        """Exit status 0, at once: what one process stored another has committed."""
        logic, job = Metrics(), Metrics()
        logic.offered.add(3, "room")
        logic.published.add(3, "room")
        job.broker_appended.set(3)
        job.broker_committed.set(3)
        job.taken.add(3, "room")
        job.settled.add(3, "room")
        job.committed.add(3)
        admins = [word for each in (logic, job) for word in ("--admin", await self.serve(each))]
        out, err, code = await self.run_ledger(*admins)
        self.assertEqual((err, code), ("", 0), out)
        self.assertIn("appended 3: committed 3", out)
        out, _, code = await self.run_ledger(*admins[:2], "--wait", "0", "--json")
        self.assertEqual((msgspec.json.decode(out)["balanced"], code), (False, 3))

    async def test_waits_for_the_balance(self) -> None:
        """Looks again until nothing is missing; or says what is, and exits with 3."""
        metrics = Metrics()
        metrics.asked.add(1, "all")
        address = await self.serve(metrics)
        waiting = Deferred.fromCoroutine(self.run_ledger("--admin", address, "--wait", "30"))
        reactor.callLater(1.5, metrics.pushes.add, 1, "all", "accepted")
        self.assertEqual((await waiting)[1:], ("", 0))
        metrics.asked.add(1, "all")
        out, err, code = await self.run_ledger("--admin", address, "--wait", "0")
        self.assertEqual((err.splitlines()[0], code), ("Not balanced: api.", 3))
        self.assertRegex(out, r"(?m)^api +pushes +2 +1 +0 +1$")

    async def test_nobody_there(self) -> None:
        """One line, exit status 1."""
        out, err, code = await self.run_ledger("--admin", "http://127.0.0.1:1")
        self.assertEqual((out, code, err.count("\n")), ("", 1, 1))
        self.assertIn("cannot connect", err)
