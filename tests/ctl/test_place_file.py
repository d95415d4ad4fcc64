"""A file with places: what was saved is loaded, and nothing else."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.place_file import PlaceFile
from imd.errors import ConfigError
from imd.protocol.timeline import Place

PLACES = {"": Place(7, "e"), "chat://1": Place(2**60, "f")}


class PlaceFileTests(SynchronousTestCase):
    """In a folder of its own."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.mkdir()
        self.path /= "places.json"

    def test_round_trip(self) -> None:
        """No file yet is no place; what one run saved the next one loads; nothing else is left in the folder."""
        self.assertEqual(PlaceFile(self.path).load(), {})
        PlaceFile(self.path).save(PLACES)
        self.assertEqual(PlaceFile(self.path).load(), PLACES)
        self.assertEqual(os.listdir(self.path.parent), ["places.json"])

    def test_written_when_it_differs(self) -> None:
        """The same again leaves the file alone."""
        file = PlaceFile(self.path)
        file.save(PLACES)
        self.path.unlink()
        file.save(PLACES)
        self.assertFalse(self.path.exists())
        file.save({})
        self.assertEqual(PlaceFile(self.path).load(), {})

    def test_not_places(self) -> None:
        """Whatever holds something else is refused by name, and left as it is."""
        for data in (b"", b"x", b"[]", b'{"a": 1}', b'{"a": {"seq": -1, "epoch": ""}}', b"\xff", b'{"a": {"seq": 1}}'):
            self.path.write_bytes(data)
            with self.assertRaises(ConfigError) as caught:
                PlaceFile(self.path).load()
            self.assertIn("places.json", str(caught.exception))
            self.assertEqual(self.path.read_bytes(), data)

    def test_cannot_be_read_or_written(self) -> None:
        """It says why."""
        with self.assertRaises(ConfigError):
            PlaceFile(self.path.parent).load()
        with self.assertRaises(ConfigError):
            PlaceFile(self.path / "places.json").save(PLACES)
