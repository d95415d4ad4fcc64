"""The number beside a SQLite file."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.backend.sqlite_witness import SqliteWitness


class SqliteWitnessTests(SynchronousTestCase):
    """On real files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.path = self.folder / "w"

    def test_what_is_noted_is_recalled(self) -> None:
        """By whoever comes later; nothing else is left in the folder."""
        witness = SqliteWitness(self.path)
        self.assertEqual(witness.recall(), 0)
        for appended in (5, 5, 3):
            witness.note(appended)
            self.assertEqual(SqliteWitness(self.path).recall(), appended)
        self.assertEqual([file.name for file in self.folder.iterdir()], ["w"])

    def test_a_spoilt_file(self) -> None:
        """It says nothing."""
        self.path.write_bytes(b"\x00\xff")
        self.assertEqual(SqliteWitness(self.path).recall(), 0)

    def test_a_folder_that_cannot_be_written(self) -> None:
        """Nobody is harmed, and it is tried again."""
        witness = SqliteWitness(self.folder / "gone" / "w")
        witness.note(5)
        self.assertEqual(witness.recall(), 0)
        (self.folder / "gone").mkdir()
        witness.note(5)
        self.assertEqual(witness.recall(), 5)
