"""Query strings as goim's framework reads them."""

import contextlib
from typing import Annotated

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import BadRequest
from imd.transport.http_query import QueryReader, parse_query


class Sample(msgspec.Struct, frozen=True):
    n: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] = 0
    name: str = ""
    names: tuple[str, ...] = ()
    ids: tuple[Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)], ...] = ()


class Strict(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1)]


class ParseTests(SynchronousTestCase):
    def test_repeated(self) -> None:
        """Names repeat, commas do not split, order is kept."""
        self.assertEqual(parse_query("a=1&b=2,3&a=4"), {"a": ["1", "4"], "b": ["2,3"]})

    def test_spelling(self) -> None:
        """Plus is a space, escapes are UTF-8, a missing value is empty, empty pairs are nothing."""
        self.assertEqual(parse_query("a+b=%E4%BD%A0+x&c&&d="), {"a b": ["你 x"], "c": [""], "d": [""]})
        self.assertEqual(parse_query(""), {})
        self.assertEqual(parse_query("a=b=c;d"), {"a": ["b=c;d"]})

    def test_broken(self) -> None:
        """A broken escape or broken UTF-8 is refused, not dropped."""
        for raw in ("a=%", "a=%4", "a=%zz", "%=1", "a=%FF", "a=\xe4"):
            self.assertRaises(BadRequest, parse_query, raw)

    def test_too_many(self) -> None:
        """More parameters than any request needs are refused."""
        self.assertRaises(BadRequest, parse_query, "a&" * 20_001)

    @given(st.text(st.characters(max_codepoint=255), max_size=60))
    def test_anything(self, raw: str) -> None:
        """Any bytes are either read or refused."""
        with contextlib.suppress(BadRequest):
            parse_query(raw)


class ReaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader = QueryReader(Sample)

    def test_all(self) -> None:
        """Single parameters take the first value, repeated ones all, unknown ones are ignored, case matters."""
        self.assertEqual(
            self.reader.read("n=-5&n=x&name=a&name=b&names=a&names=&ids=1&ids=9223372036854775807&other=%20&N=7"),
            Sample(-5, "a", ("a", ""), (1, 2**63 - 1)),
        )

    def test_absent(self) -> None:
        """Absent parameters have their defaults, an empty int is 0."""
        self.assertEqual(self.reader.read(""), Sample())
        self.assertEqual(self.reader.read("n=&ids="), Sample(ids=(0,)))

    def test_decimal(self) -> None:
        """Ints are what Go's ParseInt takes in base 10."""
        self.assertEqual(self.reader.read("n=%2B007").n, 7)
        for text in ("x", "1.0", "1e3", "0x10", "1_000", " 1", "--1", "+", "\u0661", "9" * 5000):
            with self.assertRaisesRegex(BadRequest, "^n: not a decimal integer"):
                self.reader.read("n=" + "".join(f"%{byte:02X}" for byte in text.encode()))

    def test_range(self) -> None:
        """Ints out of range are refused by name."""
        for field, text in (("n", 2**31), ("n", -(2**31) - 1), ("ids", 2**63), ("ids", -(2**63) - 1), ("ids", 10**40)):
            with self.assertRaisesRegex(BadRequest, rf"^{field}(\[0\])?: "):
                self.reader.read(f"{field}={text}")

    def test_required(self) -> None:
        """What a struct requires must be there; what it wants not to be empty, must not be."""
        for raw in ("", "name="):
            with self.assertRaisesRegex(BadRequest, "name"):
                QueryReader(Strict).read(raw)
