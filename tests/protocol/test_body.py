"""Bodies of client packets: what goim's clients send, every wrong shape, garbage."""

import json

from hypothesis import given
from hypothesis import strategies as st

import imd.protocol.body as body_module
from imd.errors import ProtocolError
from imd.protocol.body import (
    MAX_ACCEPTS,
    MAX_DEVICE_BYTES,
    MAX_EPOCH_BYTES,
    MAX_KEY_BYTES,
    MAX_PLATFORM_BYTES,
    MAX_RESUME,
    MAX_ROOM_BYTES,
    MAX_ROOMS,
    Auth,
    as_id,
    decode_auth,
    decode_operations,
    decode_room,
    encode_auth,
)
from imd.protocol.timeline import Place
from tests.protocol.body_case import BodyTestCase, dump, garbage

_NAMES = ("mid", "key", "room_id", "platform", "accepts", "token", "MID")
_NEWER = ("rooms", "resume", "device", "mid", "seq", "epoch")


def _plain_auths() -> st.SearchStrategy[dict[str, object]]:
    """Good bodies of version 1, but for the sizes."""
    return st.fixed_dictionaries(
        {},
        optional={
            "mid": st.integers(),
            "key": st.text(),
            "room_id": st.text(),
            "platform": st.text(),
            "accepts": st.lists(st.integers()),
            "token": st.text(),
        },
    )


class AuthTests(BodyTestCase):
    """Op 7."""

    def test_what_goim_clients_send(self) -> None:
        """The bodies of goim's browser client and of its load client."""
        browser = b'{"mid":123, "room_id":"live://1000", "platform":"web", "accepts":[1000,1001,1002]}'
        self.assertEqual(decode_auth(browser), Auth(123, "", "live://1000", "web", (1000, 1001, 1002)))
        load = b'{"mid":7,"key":"","room_id":"test://1","platform":"linux","accepts":null}'
        self.assertEqual(decode_auth(load), Auth(7, "", "test://1", "linux"))

    def test_names_like_go(self) -> None:
        """Names match without regard to case, unknown ones are ignored, null is absent."""
        body = b'{"MID": 5, "Room_ID": "a://b", "more": {"x": [1]}, "key": null, "Token": "t"}'
        self.assertEqual(decode_auth(body), Auth(5, "", "a://b", token="t"))
        self.assertEqual(decode_auth(b"{}"), Auth())

    def test_wrong_types_are_named(self) -> None:
        """A wrong type says which field."""
        for body, field in (
            (b'{"mid": "5"}', "mid"),
            (b'{"mid": 5.0}', "mid"),
            (b'{"mid": true}', "mid"),
            (b'{"mid": 9223372036854775808}', "mid"),
            (b'{"mid": -9223372036854775809}', "mid"),
            (b'{"key": 5}', "key"),
            (b'{"room_id": []}', "room_id"),
            (b'{"platform": {}}', "platform"),
            (b'{"accepts": 1}', "accepts"),
            (b'{"accepts": ["1"]}', "accepts"),
            (b'{"accepts": [2147483648]}', "accepts"),
            (b'{"accepts": [-2147483649]}', "accepts"),
            (b'{"token": 1}', "token"),
        ):
            self.assert_bad(decode_auth, body, field)

    def test_limits(self) -> None:
        """Each limit is allowed, one more is not; they count bytes."""
        for field, limit in (("key", MAX_KEY_BYTES), ("room_id", MAX_ROOM_BYTES), ("platform", MAX_PLATFORM_BYTES)):
            decode_auth(json.dumps({field: "x" * limit}).encode())
            self.assert_bad(decode_auth, json.dumps({field: "x" * (limit + 1)}).encode(), field)
            self.assert_bad(decode_auth, json.dumps({field: "é" * (limit // 2 + 1)}).encode(), field)
        decode_auth(json.dumps({"accepts": [1] * MAX_ACCEPTS}).encode())
        self.assert_bad(decode_auth, json.dumps({"accepts": [1] * (MAX_ACCEPTS + 1)}).encode(), "accepts")

    def test_not_json(self) -> None:
        """Whatever is no JSON object is refused, however deep."""
        for body in (b"", b"{", b"null", b"5", b"[]", b'"x"', b"\xff", b"{} {}", b"[" * 4000, b'{"a":' * 800):
            self.assert_bad(decode_auth, body)
        self.assert_bad(decode_auth, b'{"key": "\\ud800"}')
        self.assert_bad(decode_auth, b'{"key": "\xff"}')

    @given(garbage(*_NAMES) | _plain_auths().map(dump))
    def test_the_short_way_is_the_long_one(self, body: bytes) -> None:
        """What is read at once is what Go's rules would make of it."""
        plain = body_module._plain(body)
        if plain is not None:
            self.assertEqual(plain, body_module._like_go(body, 1))

    def test_what_goes_the_short_way(self) -> None:
        """That it is taken at all."""
        self.assertIsNotNone(
            body_module._plain(b'{"mid":123, "room_id":"live://1000", "platform":"web", "accepts":[1000]}')
        )
        for body in (b'{"MID": 5}', b'{"key": null}', b'{"rooms": []}', b'{"mid": 5.0}', b"[", b"\xff"):
            self.assertIsNone(body_module._plain(body))

    @given(garbage(*_NAMES))
    def test_garbage(self, body: bytes) -> None:
        """Any body is an Auth or a ProtocolError; strings that come through can be encoded."""
        try:
            auth = decode_auth(body)
        except ProtocolError:
            return
        for text in (auth.key, auth.room_id, auth.platform, auth.token):
            text.encode()


def decode_newer(body: bytes) -> Auth:
    return decode_auth(body, 2)


class NewerAuthTests(BodyTestCase):
    """Op 7 of version 2."""

    def test_what_version_2_adds(self) -> None:
        """More rooms, where the client stands in them, its device; a member's id that JavaScript cannot hold."""
        body = (
            b'{"mid": "9007199254740993", "rooms": ["a://1", "b://2"], "device": "phone",'
            b' "resume": {"": {"seq": 7, "epoch": "e"}, "a://1": {"seq": 3}, "b://2": {}}}'
        )
        places = {"": Place(7, "e"), "a://1": Place(3), "b://2": Place(0)}
        auth = Auth(9007199254740993, rooms=("a://1", "b://2"), resume=places, device="phone")
        self.assertEqual(decode_newer(body), auth)
        self.assertEqual(decode_newer(encode_auth(auth)), auth)
        self.assertEqual(decode_newer(b'{"mid": 5, "rooms": null}'), Auth(5))

    def test_null_is_absent_in_places_too(self) -> None:
        """Clients that write a place as they hold it say null for what they do not have."""
        body = b'{"resume": {"": null, "a://1": {"seq": 3, "epoch": null}, "b://2": {"seq": null, "epoch": "e"}}}'
        self.assertEqual(decode_newer(body), Auth(resume={"a://1": Place(3), "b://2": Place(0, "e")}))

    def test_version_1_knows_none_of_it(self) -> None:
        """A version-1 client with fields of such names is what it was."""
        body = b'{"mid": 5, "rooms": 1, "resume": "x", "device": []}'
        self.assertEqual(decode_auth(body), Auth(5))
        self.assert_bad(decode_auth, b'{"mid": "5"}', "mid")

    def test_wrong_types_and_limits_are_named(self) -> None:
        """What is over a limit or of a wrong type says which field."""
        self.assert_all_bad(
            decode_newer,
            (
                *(({"mid": mid}, "mid") for mid in ("", "x", "5.0", "-", "+5", " 5", "9" * 20, 5.0, True, 2**63)),
                *(({"rooms": rooms}, "rooms") for rooms in (1, "a", [1], [""], ["x" * (MAX_ROOM_BYTES + 1)])),
                ({"rooms": ["a"] * (MAX_ROOMS + 1)}, "rooms"),
                *(({"resume": {"": place}}, "resume") for place in (1, [1, "e"], {"seq": "1"}, {"epoch": 1})),
                *(({"resume": {"": {"seq": seq}}}, "seq") for seq in (-1, 2**63, 1.5)),
                ({"resume": {"": {"epoch": "x" * (MAX_EPOCH_BYTES + 1)}}}, "epoch"),
                ({"resume": {"x" * (MAX_ROOM_BYTES + 1): {}}}, "resume"),
                ({"resume": {str(n): {} for n in range(MAX_RESUME + 1)}}, "resume"),
                ({"device": 1}, "device"),
                ({"device": "x" * (MAX_DEVICE_BYTES + 1)}, "device"),
            ),
        )
        decode_newer(dump({"rooms": ["a"] * MAX_ROOMS, "resume": {str(n): {} for n in range(MAX_RESUME)}}))
        decode_newer(dump({"device": "x" * MAX_DEVICE_BYTES, "resume": {"": {"epoch": "x" * MAX_EPOCH_BYTES}}}))

    @given(garbage(*_NAMES, *_NEWER))
    def test_garbage(self, body: bytes) -> None:
        """Any body is an Auth, which survives the way there and back, or a ProtocolError."""
        auth = self.assert_value_or_error(decode_newer, body)
        if auth is not None:
            self.assertEqual(decode_newer(encode_auth(auth)), auth)

    @given(st.integers(-(2**63), 2**63 - 1))
    def test_ids(self, id: int) -> None:
        """Every int64 is an id, as a number and as a decimal string."""
        self.assertEqual((as_id("x", id), as_id("x", str(id))), (id, id))


class RoomTests(BodyTestCase):
    """Op 12."""

    def test_room(self) -> None:
        """The id as it is; empty leaves."""
        self.assertEqual(decode_room(b"live://1000"), "live://1000")
        self.assertEqual(decode_room("chat://ü/ß".encode()), "chat://ü/ß")
        self.assertEqual(decode_room(b""), "")
        self.assertEqual(len(decode_room(b"x" * MAX_ROOM_BYTES)), MAX_ROOM_BYTES)

    def test_bad_rooms(self) -> None:
        """Not UTF-8, a surrogate, too long."""
        for body in (b"\xff", b"\xed\xa0\x80", b"x" * (MAX_ROOM_BYTES + 1)):
            self.assert_bad(decode_room, body)


class OperationsTests(BodyTestCase):
    """Op 14 and 16."""

    def test_operations(self) -> None:
        """What Go's SplitInt32s takes."""
        self.assertEqual(decode_operations(b""), ())
        self.assertEqual(decode_operations(b"1000"), (1000,))
        self.assertEqual(
            decode_operations(b"1000,-1,+7,2147483647,-2147483648"), (1000, -1, 7, 2147483647, -2147483648)
        )
        self.assertEqual(len(decode_operations(b",".join([b"1"] * MAX_ACCEPTS))), MAX_ACCEPTS)

    def test_bad_operations(self) -> None:
        """Anything but decimal int32s between commas."""
        for body in (
            *(b",", b"1,", b",1", b"1,,2", b" 1", b"1 ", b"1;2", b"0x1", b"1_0", b"+-1", b"-", b"1.0", b"\xd9\xa1"),
            *(b"2147483648", b"-2147483649", b"9" * 4000),
            b",".join([b"1"] * (MAX_ACCEPTS + 1)),
        ):
            self.assert_bad(decode_operations, body)

    @given(st.binary(max_size=40) | st.text("0123456789,+-", max_size=40).map(str.encode))
    def test_garbage(self, body: bytes) -> None:
        """Any body is int32s or a ProtocolError."""
        try:
            operations = decode_operations(body)
        except ProtocolError:
            return
        self.assertTrue(all(-(2**31) <= operation < 2**31 for operation in operations))
