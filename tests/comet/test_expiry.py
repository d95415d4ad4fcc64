"""Dates of very many."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.expiry import SPARE, ExpiryList


class ExpiryTests(SynchronousTestCase):
    """Each when its own date comes."""

    def test_in_the_order_of_dates(self) -> None:
        """Not in that of entering; never more than asked for."""
        dates: ExpiryList[str] = ExpiryList()
        for member, at_ms in (("c", 30), ("a", 10), ("b", 20), ("d", 20)):
            dates.set(member, at_ms)
        self.assertEqual(dates.due(9, 10), [])
        self.assertEqual(dates.due(30, 3), ["a", "b", "d"])
        self.assertEqual(dates.due(30, 3), ["c"])
        self.assertEqual((dates.due(99, 3), len(dates)), ([], 0))

    def test_another_date(self) -> None:
        """Later or earlier, the last one counts; 0 is never."""
        dates: ExpiryList[str] = ExpiryList()
        dates.set("a", 10)
        dates.set("a", 20)
        self.assertEqual(dates.due(19, 10), [])
        dates.set("a", 5)
        self.assertEqual(dates.due(5, 10), ["a"])
        dates.set("b", 7)
        dates.set("b", 0)
        self.assertEqual((dates.due(99, 10), len(dates)), ([], 0))

    def test_memory(self) -> None:
        """Who gets a new date a thousand times costs no more than who never does."""
        dates: ExpiryList[str] = ExpiryList()
        for at_ms in range(1, 1000):
            dates.set("a", at_ms)
            self.assertLessEqual(len(dates._heap), 2 * len(dates) + SPARE + 2)
        self.assertEqual(dates.due(1000, 10), ["a"])

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=200))
    def test_as_a_dict_would(self, moves: list[tuple[int, int]]) -> None:
        """Whatever is entered, changed and taken out, what is due is what a look at all of them finds."""
        dates: ExpiryList[int] = ExpiryList()
        model: dict[int, int] = {}
        for member, at_ms in moves:
            if at_ms == 20:
                due = sorted(other for other, date in model.items() if date <= 10)
                self.assertEqual(sorted(dates.due(10, 100)), due)
                for other in due:
                    del model[other]
            else:
                dates.set(member, at_ms)
                model.pop(member, None)
                model.update({member: at_ms} if at_ms else {})
        self.assertEqual(sorted(dates.due(100, 100)), sorted(model))
