"""What is alike for every body: what is refused is refused by name, and garbage is no bug."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import CloseReason, ProtocolError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers() | st.text())
NOT_OBJECTS = (b"", b"{", b"null", b"5", b"[]", b'"x"', b"\xff", b"{} {}", b"[" * 4000, b'{"a":' * 800)


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def garbage(*names: str) -> st.SearchStrategy[bytes]:
    """Any bytes, and any JSON, of which much has the body's own names."""
    objects = st.dictionaries(st.sampled_from([*names, "x"]), SCALARS)
    nested = st.dictionaries(st.sampled_from([*names, "x"]), SCALARS | objects | st.dictionaries(st.text(), objects))
    return st.binary(max_size=100) | (SCALARS | nested).map(dump)


class BodyTestCase(SynchronousTestCase):
    """Shared: what is refused is refused by name."""

    def assert_bad(self, decode: Callable[[bytes], Any], body: bytes, word: str = "") -> None:
        with self.assertRaises(ProtocolError) as caught:
            decode(body)
        self.assertEqual(caught.exception.reason, CloseReason.BAD_BODY, body)
        self.assertIn(word, str(caught.exception))

    def assert_all_bad(self, decode: Callable[[bytes], Any], bodies: Iterable[tuple[object, str]]) -> None:
        """Each value, as JSON, is refused and the word is said; and so is what is no JSON object."""
        for value, word in bodies:
            self.assert_bad(decode, dump(value), word)
        for body in NOT_OBJECTS:
            self.assert_bad(decode, body)

    def assert_value_or_error(self, decode: Callable[[bytes], Any], body: bytes) -> Any:
        """Any body decodes or is a ProtocolError; None then."""
        try:
            return decode(body)
        except ProtocolError as error:
            self.assertEqual(error.reason, CloseReason.BAD_BODY)
            return None
