"""Items for one key each: which they are."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.answer import Answer
from imd.comet.letters import Letters, is_letter
from imd.protocol.rpc import Item, Kind
from tests.support.comet_fakes import pushed, to_all, to_keys, to_room


class IsLetterTests(SynchronousTestCase):
    """Which items are."""

    def test_which(self) -> None:
        """One packet for one key, untraced."""
        letter = to_keys(b"x", "a")
        self.assertTrue(is_letter(letter))
        others = (
            to_keys(b"x", "a", "b"),
            to_room(b"x"),
            to_all(b"x"),
            Item(Kind.KICK, keys=("a",)),
            Item(Kind.KEYS, pushed(b"x") * 2, 2, 1000, ("a",)),
            Item(Kind.KEYS, pushed(b"x"), 1, 1000, ("a",), traced=True),
        )
        self.assertFalse(any(map(is_letter, others)))


class LettersTests(SynchronousTestCase):
    """What waits."""

    def test_in_order(self) -> None:
        """Each with where its outcome goes, and the bytes of all."""
        letters, answer = Letters(), Answer(2)
        first, second = to_keys(b"x", "a"), to_keys(b"y", "b")
        letters.add(first, answer, 0, 10)
        letters.add(second, answer, 1, 20)
        self.assertEqual(list(letters.items), [(first, answer, 0), (second, answer, 1)])
        self.assertEqual((letters.size_bytes, letters.begun), (30, False))
