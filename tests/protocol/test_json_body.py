"""JSON bodies: what is written, what is read, what is refused."""

import json
from typing import ClassVar

from imd.protocol.json_body import JsonBody
from tests.protocol.body_case import BodyTestCase


class Example(JsonBody, frozen=True):
    """One field of each kind."""

    IDS: ClassVar = ("id",)

    id: int
    name: str
    count: int = 0


class JsonBodyTests(BodyTestCase):
    """On a body of the test's own."""

    def test_encoding(self) -> None:
        """Ids are strings, what has no default is always there, what has its default is not."""
        self.assertEqual(json.loads(Example(2**60, "").encode()), {"id": str(2**60), "name": ""})
        self.assertEqual(json.loads(Example(-1, "é", 3).encode()), {"id": "-1", "name": "é", "count": 3})

    def test_decoding(self) -> None:
        """Ids may be numbers too; unknown names are ignored; null is absent; names match exactly."""
        for body in (b'{"id": 5, "name": "a", "more": [1]}', b'{"id": "5", "name": "a", "count": null, "COUNT": 7}'):
            self.assertEqual(Example.decode(body), Example(5, "a"))

    def test_refusals(self) -> None:
        """A field that is missing or wrong is named."""
        self.assert_all_bad(
            Example.decode,
            (
                ({"name": "a"}, "id"),
                ({"id": 1}, "name"),
                ({"id": 1, "name": None}, "name"),
                ({"id": 1, "name": "a", "count": "3"}, "count"),
                ({"id": "x", "name": "a"}, "id"),
                ({"id": 2**63, "name": "a"}, "id"),
                ({"id": True, "name": "a"}, "id"),
            ),
        )
