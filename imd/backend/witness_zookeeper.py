"""What was seen of the store in Redis, remembered in ZooKeeper: for the time when no process of imd runs."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from kazoo.exceptions import BadVersionError, NoNodeError
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.backend.zookeeper_session import ZookeeperSession
from imd.errors import RegistryUnavailable
from imd.interfaces import Clock, Sighting, Timer

WRITE_SECONDS = 1.0  # from a note to its writing, and between two writings
MOST = 4  # sightings of a partition
TRIES = 5  # at a writing, when others write at the same time

Seen = dict[int, tuple[Sighting, ...]]

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Seen)
_log = Logger()


class WitnessZookeeper:
    """See :class:`imd.interfaces.Witness`. One node for all: JSON, partition -> [[epoch, tenure, appended], ...].

    Whoever has something to add to it reads it and writes both: of the greatest epoch the ``MOST`` sightings with the greatest
    counts. So an idle process writes nothing, and busy ones that see the same seldom do. Written at most once a second, and at
    :meth:`close`: what came within the last second before everything stopped at once is not remembered. The session is opened
    before, and closed after it, by whoever made it.
    """

    __slots__ = ("_clock", "_closed", "_noted", "_path", "_session", "_timer", "_writing")

    def __init__(self, *, session: ZookeeperSession, clock: Clock, path: str) -> None:
        self._session = session
        self._clock = clock
        self._path = path
        self._closed = False  # nothing is noted any more
        self._noted: Seen = {}  # what is to be written
        self._timer: Timer | None = None  # when it will be; None = nothing is, or it is being written
        self._writing: Deferred[None] | None = None

    async def open(self) -> None:
        """Nothing is to be done: the session begins by itself."""

    def trouble(self) -> str | None:
        """The session's is said by whoever made it."""
        return None

    async def recall(self) -> Mapping[int, Sequence[Sighting]]:
        """As it stands in ZooKeeper; nothing when it never was there."""
        try:
            data, _, _ = await self._session.get(self._path)
        except NoNodeError:
            return {}
        return self._load(data)

    def note(self, partition: int, sightings: Sequence[Sighting]) -> None:
        """Within a second, if ZooKeeper is there; else when it is."""
        if sightings and not self._closed:
            self._noted[partition] = _best((*self._noted.get(partition, ()), *sightings))
            self._schedule()

    async def close(self) -> None:
        """Write what is left, if ZooKeeper is there."""
        self._closed = True
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._writing is not None:
            self._writing.cancel()
        if self._noted:
            try:
                await self._write()
            except RegistryUnavailable as error:
                _log.debug("zookeeper: what was seen of the store is not written: {error}", error=error)

    def _schedule(self) -> None:
        if self._timer is None and self._writing is None:
            self._timer = self._clock.callLater(WRITE_SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        writing = self._writing = Deferred.fromCoroutine(self._write())
        writing.addErrback(self._failed)
        writing.addBoth(self._over)

    def _over(self, _: object) -> None:
        self._writing = None
        if self._noted and not self._closed:
            self._schedule()

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError, RegistryUnavailable):  # that one has been said, and it is tried again
            _log.failure("writing what was seen of the store failed", failure)

    async def _write(self) -> None:
        """What could not be written stays noted."""
        for _ in range(TRIES):
            try:
                data, version, _ = await self._session.get(self._path)
            except NoNodeError:
                await self._session.make_folder(self._path)
                continue
            noted = dict(self._noted)
            known = self._load(data)
            seen = dict(known)
            for partition, sightings in noted.items():
                seen[partition] = _best((*known.get(partition, ()), *sightings))
            try:
                if seen != known:
                    await self._session.set(self._path, _encode(seen), version)
            except BadVersionError:  # another process was faster
                continue
            self._noted = {key: value for key, value in self._noted.items() if noted.get(key) != value}
            return

    def _load(self, data: bytes) -> Seen:
        try:
            return _decoder.decode(data or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            _log.warn("zookeeper: {path} holds something that is not imd's; it is written anew", path=self._path)
            return {}


def _best(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    """Those that can still prove something: of the greatest epoch, the greatest counts."""
    appended: dict[tuple[str, str], int] = {}
    newest = ""
    for sighting in sightings:
        key = (sighting.epoch, sighting.tenure)
        appended[key] = max(sighting.appended, appended.get(key, 0))
        newest = max(newest, sighting.epoch)
    best = sorted((count, *key) for key, count in appended.items() if key[0] == newest)
    return tuple(Sighting(epoch, tenure, count) for count, epoch, tenure in best[-MOST:])
