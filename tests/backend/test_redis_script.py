"""Lua scripts, shipped beside the code."""

from hashlib import sha1
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

from imd.backend.redis_script import load_script


class LoadScriptTests(SynchronousTestCase):
    """Reading them."""

    def test_the_digest_is_redis_own(self) -> None:
        """SHA-1 of the text, in hex."""
        script = load_script("publish")
        self.assertEqual(script.digest, sha1(script.text).hexdigest())

    def test_parts_are_joined_in_order(self) -> None:
        """A part may use what those before it define."""
        script = load_script("living", "room", "top")
        places = [script.text.index(word) for word in (b"function lives", b"function recount", b"local sorted")]
        self.assertEqual(places, sorted(places))

    def test_every_script_says_what_it_wants(self) -> None:
        """The first line of each file is a comment."""
        for file in files("imd.backend").joinpath("lua").iterdir():
            self.assertTrue(file.read_bytes().startswith(b"-- "), file.name)
