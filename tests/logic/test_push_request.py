"""The JSON of a push: what it may say, and how it is told that it may not."""

from collections.abc import Iterable

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import BadRequest
from imd.logic.push_request import PushRequest, PushResult, Result, To


def decode(text: str) -> PushRequest:
    return msgspec.json.decode(text, type=PushRequest)


class PushRequestTests(SynchronousTestCase):
    """From JSON to an order."""

    def test_everything(self) -> None:
        """Every target at once, each named once in the order; ids of members as numbers or digits."""
        order = decode(
            '{"to": {"keys": ["a", "b", "a"], "mids": ["12", 12, 9223372036854775807], "room": "live://1",'
            ' "rooms": ["live://2", "live://1"], "all": true}, "op": 1000, "body": "h\\u00e9", "speed": 5,'
            ' "idempotency_key": "k", "keep": false, "trace": true}'
        ).order("shop", "parent")
        self.assertEqual(order.keys, ("a", "b"))
        self.assertEqual(order.mids, (12, 2**63 - 1))
        self.assertEqual(order.rooms, ("live://1", "live://2"))
        self.assertEqual((order.all, order.speed, order.operation), (True, 5, 1000))
        self.assertEqual((order.body, order.idempotency_key, order.pusher), ("hé".encode(), "k", "shop"))
        self.assertEqual((order.keep, order.trace, order.parent), (False, True, "parent"))

    def test_body_base64(self) -> None:
        """Any bytes travel as base64."""
        self.assertEqual(decode('{"to": {"all": true}, "op": 1, "body_base64": "AP8="}').order().body, b"\x00\xff")

    def test_bad_base64(self) -> None:
        """Not base64, no padding, stray characters, not ASCII: each names the field."""
        for text in ("!", "AP8", "AP 8=", "ÄÄÄÄ"):
            with self.assertRaisesRegex(BadRequest, "^body_base64: "):
                PushRequest(to=To(all=True), op=1, body_base64=text).order()

    def test_one_body(self) -> None:
        """Neither and both are refused; an empty one is a body."""
        for request in (
            PushRequest(to=To(all=True), op=1),
            PushRequest(to=To(all=True), op=1, body="", body_base64=""),
        ):
            with self.assertRaisesRegex(BadRequest, "^body: "):
                request.order()
        self.assertEqual(PushRequest(to=To(all=True), op=1, body="").order().body, b"")

    def test_wrong_shapes(self) -> None:
        """What JSON itself shows to be wrong is refused by its field."""
        cases = {
            '{"op": 1}': "to",
            '{"to": {}}': "op",
            '{"to": {}, "op": 2147483648}': r"\$.op",
            '{"to": {}, "op": -2147483649}': r"\$.op",
            '{"to": {}, "op": 1.5}': r"\$.op",
            '{"to": {"mids": [9223372036854775808]}, "op": 1}': r"\$.to.mids\[0\]",
            '{"to": {"mids": ["x"]}, "op": 1}': r"\$.to.mids\[0\]",
            '{"to": {"mids": [true]}, "op": 1}': r"\$.to.mids\[0\]",
            '{"to": {"keys": "a"}, "op": 1}': r"\$.to.keys",
            '{"to": {}, "op": 1, "speed": -1}': r"\$.speed",
            '{"to": {}, "op": 1, "extra": 1}': "extra",
            '{"to": {}, "op": 1, "keep": "true"}': r"\$.keep",
            '{"to": {}, "op": 1, "trace": null}': r"\$.trace",
            '{"to": {"member": 1}, "op": 1}': "member",
        }
        for text, field in cases.items():
            with self.assertRaisesRegex(msgspec.ValidationError, field):
                decode(text)

    def test_scopes(self) -> None:
        """What a push key must cover, room types each once."""

        def scopes(**to: object) -> Iterable[str]:
            return PushRequest(to=msgspec.convert(to, To), op=1, body="").scopes()

        self.assertEqual(scopes(keys=["a"], mids=[1], all=True), ["push:keys", "push:members", "push:all"])
        self.assertEqual(
            scopes(rooms=["live://1", "live://2", "game://1", "bare"]),
            ["push:room:live", "push:room:game", "push:room:"],
        )

    def test_answer(self) -> None:
        """An id is a string in JSON: JavaScript's numbers do not hold it."""
        answer = msgspec.json.encode(PushResult("9007199254740993", Result.REPEATED))
        self.assertEqual(answer, b'{"id":"9007199254740993","result":"repeated"}')
        answer = msgspec.json.encode(PushResult("1", Result.ACCEPTED, 7, "e-0"))
        self.assertEqual(answer, b'{"id":"1","result":"accepted","seq":7,"epoch":"e-0"}')
