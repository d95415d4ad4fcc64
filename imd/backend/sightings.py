"""What one process has seen of one partition of a store, to be compared with what is there."""

from collections.abc import Iterable

from imd.interfaces import Sighting

MOST = 4  # sightings of a partition: more than one only while Redis changes hands


class Sightings:
    """The last sighting in each tenure that the store has not yet compared with its own state.

    There is one, but for the moment in which answers of two Redis servers, an old master's and a new one's, cross each other.
    Then both are told: what the old one had taken and the new one has not is lost.
    """

    __slots__ = ("_appended", "_told")

    def __init__(self) -> None:
        self._appended: dict[tuple[str, str], int] = {}  # (epoch, tenure) -> pushes appended, the latest last
        self._told = ""  # the same in words of the scripts

    @property
    def appended(self) -> int:
        """As seen last; 0 = never."""
        return next(reversed(self._appended.values()), 0)

    def told(self) -> str:
        """What a script is told: ``<epoch>/<tenure>/<appended>`` of each, a space between."""
        return self._told

    def all(self) -> tuple[Sighting, ...]:
        """All of them, the latest last."""
        return tuple(Sighting(*key, appended) for key, appended in self._appended.items())

    def recall(self, sightings: Iterable[Sighting]) -> None:
        """These were seen before, perhaps by others: they are told until the store has answered."""
        for sighting in sightings:
            self._see(sighting, latest=False)
        self._write()

    def learn(self, told: str, sighting: Sighting) -> bool:
        """The store was told this, and is so now: what it was told is judged. True when it is news."""
        key = (sighting.epoch, sighting.tenure)
        if len(self._appended) == 1 and self._appended.get(key, -1) >= sighting.appended:
            return False  # answers on several connections do not come in the order of the calls
        for word in told.split():
            epoch, tenure, appended = word.split("/")
            if self._appended.get((epoch, tenure)) == int(appended):
                del self._appended[epoch, tenure]
        self._see(sighting, latest=True)
        self._write()
        return True

    def _see(self, sighting: Sighting, *, latest: bool) -> None:
        key = (sighting.epoch, sighting.tenure)
        appended = max(sighting.appended, self._appended.get(key, 0))
        if latest:
            self._appended.pop(key, None)
        self._appended[key] = appended
        while len(self._appended) > MOST:
            del self._appended[next(iter(self._appended))]

    def _write(self) -> None:
        self._told = " ".join(f"{epoch}/{tenure}/{appended}" for (epoch, tenure), appended in self._appended.items())
