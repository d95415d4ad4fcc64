"""A file with a client's places: what it has handled of each timeline, so that its next run goes on from there."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec

from imd.errors import ConfigError
from imd.protocol.body import Seq
from imd.protocol.timeline import Place


class _Entry(msgspec.Struct, frozen=True):
    """As JSON has it: ``{"chat://1": {"seq": 5, "epoch": "9f2ac01b-3"}}``."""

    seq: Seq
    epoch: str


class PlaceFile:
    """JSON, name of the timeline -> place. One process at a time."""

    __slots__ = ("_path", "_stored")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: dict[str, Place] = {}  # what the file holds

    def load(self) -> dict[str, Place]:
        """Empty when there is no file yet. Raises :class:`ConfigError`."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from None
        try:
            entries = msgspec.json.decode(data, type=dict[str, _Entry])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._path}: holds no places: {error}") from None
        self._stored = {name: Place(entry.seq, entry.epoch) for name, entry in entries.items()}
        return dict(self._stored)

    def save(self, places: Mapping[str, Place]) -> None:
        """Whole or not at all, when it differs. Raises :class:`ConfigError`."""
        if places == self._stored:
            return
        data = msgspec.json.encode({name: _Entry(place.seq, place.epoch) for name, place in places.items()})
        try:
            with NamedTemporaryFile(dir=self._path.parent, prefix=f".{self._path.name}.", delete=False) as file:
                file.write(data + b"\n")
            os.replace(file.name, self._path)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be written: {error.strerror}") from None
        self._stored = dict(places)
