"""Deadlines without timers."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.idle import IdleList


class IdleListTests(SynchronousTestCase):
    """Ten seconds."""

    def setUp(self) -> None:
        self.idle: IdleList[str] = IdleList(idle_seconds=10)

    def test_due_in_order(self) -> None:
        """At its deadline, the longest overdue first, and once."""
        for now, member in enumerate("abc"):
            self.idle.touch(member, now)
        self.assertEqual(self.idle.due(9.9, 100), [])
        self.assertEqual(self.idle.due(11, 100), ["a", "b"])
        self.assertEqual(self.idle.due(11, 100), [])
        self.assertEqual(list(self.idle), ["c"])

    def test_touch_postpones(self) -> None:
        """Its time begins anew, behind the others."""
        self.idle.touch("a", 0)
        self.idle.touch("b", 1)
        self.idle.touch("a", 2)
        self.assertEqual(self.idle.due(11, 100), ["b"])
        self.assertEqual(self.idle.due(12, 100), ["a"])

    def test_forget(self) -> None:
        """Whoever is not in is no fault."""
        self.idle.touch("a", 0)
        self.idle.forget("a")
        self.idle.forget("a")
        self.assertEqual((self.idle.due(99, 100), len(self.idle)), ([], 0))

    def test_limit(self) -> None:
        """One look takes so many at most; the next takes the rest."""
        for member in "abcde":
            self.idle.touch(member, 0)
        self.assertEqual([self.idle.due(10, 2) for _ in range(3)], [["a", "b"], ["c", "d"], ["e"]])

    def test_changes_while_iterating(self) -> None:
        """Who goes through it may forget all."""
        for member in "abc":
            self.idle.touch(member, 0)
        for member in self.idle:
            self.idle.forget(member)
        self.assertEqual(len(self.idle), 0)
