"""Op 36."""

from hypothesis import given
from hypothesis import strategies as st

from imd.protocol.ack import decode_ack, encode_ack, encode_acks
from imd.protocol.body import MAX_RESUME
from tests.protocol.body_case import BodyTestCase, garbage


class AckTests(BodyTestCase):
    """What a client has handled."""

    def test_golden(self) -> None:
        """A timeline's name and a seq, the own inbox's name is empty."""
        self.assertEqual(encode_ack({"": 7, "live://1": 3}), b'{"":7,"live://1":3}')

    @given(st.dictionaries(st.text(max_size=40), st.integers(0, 2**63 - 1), max_size=MAX_RESUME))
    def test_round_trip(self, seqs: dict[str, int]) -> None:
        """Any seqs come back."""
        self.assertEqual(decode_ack(encode_ack(seqs)), seqs)

    @given(st.dictionaries(st.text(max_size=40), st.integers(0, 2**63 - 1), max_size=MAX_RESUME), st.integers(20, 400))
    def test_parts(self, seqs: dict[str, int], limit: int) -> None:
        """Together they say the same, and no two neighbours would fit into one; one is too long only when it cannot be less."""
        parts = encode_acks(seqs, limit)
        decoded = [decode_ack(part) for part in parts]
        self.assertEqual({name: seq for part in decoded for name, seq in part.items()}, seqs)
        self.assertTrue(all(len(part) <= limit or len(one) == 1 for part, one in zip(parts, decoded, strict=True)))
        for part, behind in zip(parts, decoded[1:], strict=False):
            first = encode_ack(dict([next(iter(behind.items()))]))
            self.assertGreater(len(part) + len(first) - 1, limit)

    def test_null_is_absent(self) -> None:
        """As everywhere in version 2."""
        self.assertEqual(decode_ack(b'{"":null,"chat://1":3}'), {"chat://1": 3})

    def test_refusals(self) -> None:
        """Seqs that are none, and more timelines than a client can have."""
        self.assert_all_bad(
            decode_ack,
            (
                *(({"a": seq}, "") for seq in (-1, 2**63, "1", 1.0, True)),
                ({"x" * 256: 1}, "timeline"),
                ({str(n): 1 for n in range(MAX_RESUME + 1)}, "timelines"),
            ),
        )

    @given(garbage("", "a"))
    def test_garbage(self, body: bytes) -> None:
        """Any body is seqs or a ProtocolError."""
        self.assert_value_or_error(decode_ack, body)
