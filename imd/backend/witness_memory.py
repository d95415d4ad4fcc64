"""A witness that lives as long as this object: for tests, and for one process that restarts its parts."""

from collections.abc import Mapping, Sequence

from imd.interfaces import Sighting


class WitnessMemory:
    """See :class:`imd.interfaces.Witness`."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Sighting, ...]] = {}  # partition -> what was noted last

    async def recall(self) -> Mapping[int, Sequence[Sighting]]:
        """All of it."""
        return dict(self._seen)

    def note(self, partition: int, sightings: Sequence[Sighting]) -> None:
        """At once."""
        self._seen[partition] = tuple(sightings)
