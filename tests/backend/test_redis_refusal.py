"""Redis' errors in words."""

from twisted.trial.unittest import SynchronousTestCase

from imd.backend.redis_refusal import MAX_WORDS, RedisRefusal
from imd.errors import Unavailable


class RedisRefusalTests(SynchronousTestCase):
    """What operators read."""

    def test_known_errors_are_explained(self) -> None:
        """The words say what is wrong with which Redis; the first word of the error stays at hand."""
        refusal = RedisRefusal("redis at /x", "READONLY You can't write against a read only replica.")
        self.assertEqual(str(refusal), "redis at /x: it is a read-only replica")
        self.assertEqual(refusal.word, "READONLY")
        self.assertIsInstance(refusal, Unavailable)

    def test_known_phrases_are_explained(self) -> None:
        """Some errors have no word of their own."""
        answer = "ERR AUTH <password> called without any password configured for the default user."
        self.assertIn("it has none", str(RedisRefusal("r", answer)))

    def test_others_are_quoted(self) -> None:
        """In Redis' words, but not endlessly."""
        self.assertEqual(str(RedisRefusal("r", "ERR odd")), "r: ERR odd")
        self.assertLess(len(str(RedisRefusal("r", "ERR " + "x" * 5000))), MAX_WORDS + 10)

    def test_arguments_are_not_quoted(self) -> None:
        """Redis repeats what it does not know; that may be a body, or a password."""
        answer = "ERR unknown command 'EVALSHA', with args beginning with: 'secret' 'body' "
        self.assertEqual(str(RedisRefusal("r", answer)), "r: ERR unknown command 'EVALSHA'")
