"""docs/delivery.md promises what the code keeps, and names every reason for which a push is dropped."""

import ast
import re
from collections.abc import Iterator
from typing import get_args, get_type_hints

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.timelines import DEVICES
from imd.backend.timelines_memory import TimelinesMemory
from imd.comet.acks import GATHER_SECONDS
from imd.comet.drop import Drop
from imd.comet.limits import Limits
from imd.comet.policy import SlowPolicy
from imd.comet.turnstile import LONGEST_SECONDS
from imd.config.settings import Broker, Inboxes, Room, Settings
from imd.job.lane import Miss
from imd.job.settings import JobSettings
from imd.logic.order import Order
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.push import Push, Target
from imd.service.room_types import keep_rules
from tests.docs.page import ROOT, Page, code

ROWS_OF_TARGETS = ("`mids`", "`room`", "`keys`", "`all`")


def counted() -> Iterator[tuple[str, str]]:
    """(layer, reason) of each call in imd/ that names both, and of those whose reasons come from an Enum."""
    yield from (("comet", drop.value) for drop in Drop)
    yield from (("job", miss.reason) for miss in Miss)
    for path in (ROOT / "imd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            texts = [word for word in words if isinstance(word, str)]
            if node.func.attr == "add" and ast.unparse(node.func.value).endswith("metrics.drops") and len(texts) == 2:
                yield texts[0], texts[1]
            elif node.func.attr == "_drop" and path.parent.name == "job" and texts:
                yield "job", texts[0]


class DropTests(SynchronousTestCase):
    """The table against the code."""

    def setUp(self) -> None:
        self.page = Page("docs/delivery.md")

    def test_reasons(self) -> None:
        """Every reason that can be counted has its row, and no other has."""
        rows = {(row[0], code(row[1])) for row in self.page.rows("Reasons in `imd_drops`")}
        self.assertEqual(rows, set(counted()))

    def test_everything_that_counts_is_looked_at(self) -> None:
        """The reasons of each line that counts a drop are literal, or those of Drop or Miss: others would be missed."""
        known = {
            "imd/comet/tally.py": "fate",  # a Drop there: a string, and its own label
            "imd/comet/reservoir.py": "drop.value",
            "imd/job/handover.py": "reason",  # of _drop, whose callers say it, or Miss
            "imd/job/route.py": "reason",  # the same
        }
        for path in (ROOT / "imd").rglob("*.py"):
            for reason in re.findall(r"metrics\.drops\.add\(.*, ([^)]*)\)", path.read_text(encoding="utf-8")):
                if not reason.startswith('"'):
                    self.assertEqual(known.get(str(path.relative_to(ROOT))), reason, path)

    def test_figures(self) -> None:
        """Seconds and numbers of the tables are the defaults."""
        job = JobSettings()
        self.assertEqual(job.overload_seconds, 5)
        self.assertIn(f"while {Limits().sweeps} of them", self.page.text)
        self.assertEqual((round(sum(job.look_again_seconds)), job.patience_seconds), (2, 2.0), "about two seconds")


class KeptTests(SynchronousTestCase):
    """What is kept, how long, and when a client is told that something is missing."""

    def setUp(self) -> None:
        self.page = Page("docs/delivery.md")

    def test_what_is_kept(self) -> None:
        """The first table: by default, with keep false, and where the configuration says otherwise."""
        default = Settings(inboxes=Inboxes(), rooms={"chat": Room(keep=True)})
        nothing = Settings(inboxes=Inboxes(keep=False))

        def kept(settings: Settings, keep: bool | None = None, **to: tuple[object, ...] | bool) -> bool:
            order = Order(1000, b"", keep=keep, **to)  # type: ignore[arg-type]  # any of its targets
            ((_, push),) = order.shares(1, 1, 8, keep_rules(settings))
            return bool(push.timelines)

        found = {
            "mids": (kept(default, mids=(17,)), kept(default, False, mids=(17,)), kept(nothing, mids=(17,))),
            "room": (
                kept(default, rooms=("chat://1",)),
                kept(default, False, rooms=("chat://1",)),
                kept(default, rooms=("live://1",)),
            ),
            "keys": (kept(default, keys=("k",)),),
            "all": (kept(default, all=True),),
        }
        rows = {code(row[0]): row[1:] for row in self.page.rows("What is promised") if row[0] in ROWS_OF_TARGETS}
        self.assertEqual(set(rows), set(found))
        self.assertEqual((found["mids"], found["room"]), ((True, False, False), (True, False, False)))
        self.assertEqual((found["keys"], found["all"]), ((False,), (False,)))
        self.assertEqual([rows[name] for name in ("keys", "all")], [["never", "always"]] * 2)

    def test_brokers(self) -> None:
        """Every backend of the broker has its row."""
        rows = {code(row[0].split(" ")[0]) for row in self.page.rows("By broker")}
        self.assertEqual(rows, set(get_args(get_type_hints(Broker)["backend"])))

    def test_how_much(self) -> None:
        """The defaults of the table, and the figures of the text."""
        rows = {code(row[0]): row[1:] for row in self.page.rows("How long, and how much")}
        for name, default in (("[inboxes]", Inboxes()), ("[rooms.<type>]", Room())):
            days = round(default.age_seconds / 86_400)
            age = f"{default.age_seconds:.0f} ({days} day{'s' * (days > 1)})"
            self.assertEqual(rows[name], ["yes" if default.keep else "no", str(default.count), age])
        text = " ".join(self.page.text.split())
        self.assertIn(f"every {JobSettings().sweep_seconds:.0f} s", text)
        self.assertIn(f"`timelines.head_seconds` ({Settings().timelines.head_seconds / 86_400:.0f} days)", text)
        self.assertIn(f"the position of the {DEVICES:,} devices that moved last", text)
        self.assertIn(f"one page ({Limits().page_messages} messages)", text)
        self.assertEqual((GATHER_SECONDS, LONGEST_SECONDS), (1 / 5, 60), "a fifth of a second; within a minute")

    def test_not_recovered(self) -> None:
        """Each cause of the table is one, on the plainest store; with all there, nothing is claimed to be lost."""
        rows = {row[0] for row in self.page.rows("`recovered: false`")}
        # tests/comet/test_handshake.py and tests/backend/test_timelines_sqlite.py show the last two
        self.assertEqual(rows, {"number", "age", "epoch", "beyond", "no epoch", "live", "undecodable"})
        clock, names = Clock(), iter("abc")
        store = TimelinesMemory(
            metrics=Metrics(), now_ms=lambda: int(clock.seconds() * 1000), make_epoch=lambda: next(names)
        )

        def keep(*ids: int) -> str:
            for id in ids:
                at_ms = int(clock.seconds() * 1000)
                (place,) = store.append(Push(id, at_ms, Target.ROOM, room="chat://1", keep_count=2, keep_ms=1000))
            return place.epoch

        def recovered(after: int, epoch: str) -> bool:
            pages: list[rpc.Page] = self.successResultOf(store.read([rpc.Follow("r:chat://1", after, epoch, 10)]))
            return pages[0].recovered

        epoch = keep(1, 2)
        self.assertTrue(recovered(0, epoch), "all is there")
        keep(3)
        self.assertEqual((recovered(0, epoch), recovered(1, epoch)), (False, True), "number")
        self.assertEqual((recovered(4, epoch), recovered(3, "")), (False, False), "beyond, no epoch")
        clock.advance(1)
        self.assertEqual((recovered(2, epoch), recovered(3, epoch)), (False, True), "age")
        store.empty()
        keep(1, 2, 3)
        self.assertFalse(recovered(3, epoch), "epoch")

    def test_slow_policies(self) -> None:
        """Every policy has its row."""
        rows = {code(row[0]) for row in self.page.rows("Clients that do not keep up")}
        self.assertEqual(rows, {policy.value for policy in SlowPolicy})
