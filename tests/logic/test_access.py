"""Push keys: who is let in, for what, and with which words not."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import AuthRefused, ConfigError, ScopeMissing
from imd.logic.access import PushKey, PushKeys, new_key

DIGEST = sha256(b"secret").hexdigest()


def keys(*scopes: str, required: bool = True) -> PushKeys:
    return PushKeys(keys=[PushKey("shop", DIGEST, scopes)], required=required)


class PushKeysTests(SynchronousTestCase):
    """Headers, scopes, configurations."""

    def test_good_key(self) -> None:
        """The name of the key comes back; the scheme's case does not matter."""
        for header in ("Bearer secret", "bearer  secret "):
            self.assertEqual(keys("push").authorize(header, ["push:all"]), "shop")

    def test_bad_headers(self) -> None:
        """None, another scheme, no key, an endless one: refused with what would be right, without what was sent."""
        for header in (None, "", "secret", "Basic c2VjcmV0", "Bearer", "Bearer ", "Bearer " + "x" * 2000):
            with self.assertRaisesRegex(AuthRefused, "Authorization: Bearer <key>"):
                keys("push").authorize(header, [])

    def test_unknown_key(self) -> None:
        """Neither another key nor the hash itself is a key; the words hold none of it."""
        for shown in ("other", DIGEST, "\udcff"):
            with self.assertRaises(AuthRefused) as caught:
                keys("push").authorize(f"Bearer {shown}", [])
            self.assertEqual(str(caught.exception), "the push key is not known")

    def test_no_keys_at_all(self) -> None:
        """Keys are required and there are none: nobody gets in."""
        with self.assertRaises(AuthRefused):
            PushKeys(keys=[]).authorize("Bearer secret", [])

    def test_scopes(self) -> None:
        """The whole table of what each scope lets do."""
        needed = ["push:keys", "push:members", "push:room:live", "push:room:game", "push:room:", "push:all", "read"]
        table = {
            "push": [*needed[:-1]],
            "push:keys": ["push:keys"],
            "push:members": ["push:members"],
            "push:room": ["push:room:live", "push:room:game", "push:room:"],
            "push:room:live": ["push:room:live"],
            "push:all": ["push:all"],
            "read": ["read"],
        }
        for scope, allowed in table.items():
            for each in needed:
                if each in allowed:
                    self.assertEqual(keys(scope).authorize("Bearer secret", [each]), "shop")
                else:
                    with self.assertRaisesRegex(ScopeMissing, f"^the push key shop has no scope {each}$"):
                        keys(scope).authorize("Bearer secret", [each])

    def test_every_needed_scope(self) -> None:
        """A push to several kinds needs all of their scopes."""
        both = keys("push:keys", "push:all")
        self.assertEqual(both.authorize("Bearer secret", ["push:keys", "push:all"]), "shop")
        with self.assertRaises(ScopeMissing):
            both.authorize("Bearer secret", ["push:keys", "push:members"])

    def test_off(self) -> None:
        """Where none is required, nobody is asked."""
        self.assertEqual(keys(required=False).authorize(None, ["push:all"]), "")

    def test_bad_configurations(self) -> None:
        """Each is refused at start, with its place."""
        cases = {
            r"^push\.keys\[0\]\.name": [PushKey("", DIGEST)],
            r"^push\.keys\[0\]\.sha256": [PushKey("a", DIGEST[:-1])],
            r"^push\.keys\[1\]\.sha256": [PushKey("a", DIGEST), PushKey("b", DIGEST.upper())],
            r"^push\.keys\[0\]\.scopes: push:rooms ": [PushKey("a", DIGEST, ("push:rooms",))],
            r"^push\.keys\[0\]\.scopes: push:room: ": [PushKey("a", DIGEST, ("push:room:",))],
            "same name": [PushKey("a", DIGEST), PushKey("a", "0" * 64)],
            "same sha256": [PushKey("a", DIGEST), PushKey("b", DIGEST)],
        }
        for words, bad in cases.items():
            with self.assertRaisesRegex(ConfigError, words):
                PushKeys(keys=bad)

    def test_new_key(self) -> None:
        """A made key is let in by its hash, and is as long as its chance."""
        key, digest = new_key(lambda count: b"\xff" * count)
        self.assertEqual(key, "imd_" + "_" * 42 + "8")
        made = PushKeys(keys=[PushKey("made", digest)])
        self.assertEqual(made.authorize(f"Bearer {key}", ["push:all"]), "made")

    @given(st.text())
    def test_garbage(self, header: str) -> None:
        """No header gets in or breaks anything."""
        with self.assertRaises(AuthRefused):
            keys("push").authorize(header, [])
