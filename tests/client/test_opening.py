"""Op 7 within what the server takes."""

from twisted.trial.unittest import SynchronousTestCase

from imd.client.opening import opening
from imd.protocol.body import MAX_RESUME, Auth, decode_auth, encode_auth
from imd.protocol.timeline import Place

ROOMS = [f"chat://{number}" for number in range(100)]
PLACES = {name: Place(1_000_000, "9f2ac01b9f2ac01b-1234567") for name in ("", *ROOMS)}


class OpeningTests(SynchronousTestCase):
    """What fits, and what is left."""

    def test_all_of_it(self) -> None:
        """Fits nearly always."""
        auth, left = opening(Auth(mid=7, token="t", room_id="x"), ROOMS[:3], dict(list(PLACES.items())[:3]), 4096)
        self.assertEqual((auth.rooms, list(auth.resume), left), (tuple(ROOMS[:3]), ["", *ROOMS[:2]], ()))
        self.assertEqual((auth.mid, auth.token, auth.room_id), (7, "t", ""))

    def test_too_many_rooms(self) -> None:
        """Those that it names are named with their places; with one more it would be too large."""
        auth, left = opening(Auth(mid=7), ROOMS, PLACES, 4096)
        self.assertEqual((*auth.rooms, *left), tuple(ROOMS))
        self.assertLessEqual({"", *auth.rooms}, auth.resume.keys())
        self.assertLessEqual(len(encode_auth(auth)), 4096)
        self.assertGreater(len(auth.rooms), 20)

    def test_no_room_at_all(self) -> None:
        """A token alone may be too much; the server says so, we do not."""
        auth, left = opening(Auth(token="t" * 5000), ROOMS[:2], PLACES, 4096)
        self.assertEqual((auth.rooms, left), ((), tuple(ROOMS[:2])))

    def test_places_of_other_rooms(self) -> None:
        """The server may put us into them; no more than it takes, and our own rooms first."""
        auth, left = opening(Auth(), ROOMS[:1], PLACES | {"more://1": Place(1, "e")}, 100_000)
        self.assertEqual((len(auth.resume), left), (MAX_RESUME, ()))
        self.assertEqual(list(auth.resume)[:2], ["", ROOMS[0]])
        self.assertEqual(decode_auth(encode_auth(auth), 2), auth)
        auth, left = opening(Auth(), ROOMS[-20:], PLACES, 4096)
        self.assertEqual((auth.rooms, left), (tuple(ROOMS[-20:]), ()))
        self.assertGreater(len(auth.resume), 21)
