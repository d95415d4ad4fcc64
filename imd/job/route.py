"""Who gets a push: found out at the moment of delivery."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from twisted.logger import Logger

from imd.interfaces import Comets, Location, Presence, Rooms
from imd.job.batch import merge, pages
from imd.job.delivery import Delivery
from imd.job.parcel import NO_MEMBERS, Parcel
from imd.job.tracer import Tracer
from imd.metrics import Metrics
from imd.protocol.operation import Operation
from imd.protocol.push import Push, Target
from imd.protocol.rpc import Item, Kind
from imd.protocol.timeline import NOWHERE
from imd.protocol.trace import Step

# Looking a member up in its enum costs more than asking for it.
_KEYS, _MEMBERS, _ROOM, _KEYS_ITEM = Target.KEYS, Target.MEMBERS, Target.ROOM, Kind.KEYS


class _Found(NamedTuple):
    """Where everybody is that a read's pushes name."""

    keys: Mapping[str, Location]
    members: Mapping[int, Mapping[str, Location]]
    rooms: Mapping[str, Sequence[Location]]


class Router:
    """Makes parcels of pushes. A push's packet is encoded once, and pushes to a room are merged once, for all comets.

    Who cannot be found is counted here: ``not_connected`` for keys, members and rooms without a host, ``no_comet`` for a push
    to all when there is none, ``error`` for a push that cannot be understood, which never keeps the others. A kept packet is
    not dropped then but deferred: it is in the timeline.
    """

    log = Logger()

    __slots__ = ("_comets", "_metrics", "_presence", "_rooms", "_tracer")

    def __init__(self, *, presence: Presence, rooms: Rooms, comets: Comets, metrics: Metrics, tracer: Tracer) -> None:
        self._presence = presence
        self._rooms = rooms
        self._comets = comets
        self._metrics = metrics
        self._tracer = tracer

    async def route(self, deliveries: Sequence[Delivery]) -> list[Parcel]:
        """The parcels of these, in order. Raises :class:`imd.errors.PresenceUnavailable`: nothing was counted then."""
        found = await self._find([delivery.push for delivery in deliveries])
        parcels: list[Parcel] = []
        for group in merge([delivery for delivery in deliveries if self._encode(delivery)]):
            try:
                parcels += self._address(group, found)
            except Exception:  # one push that nobody foresaw must not keep its partition
                self._poison(group)
        return parcels

    async def look_again(self, parcel: Parcel, keys: Sequence[str]) -> dict[Location, dict[str, int]]:
        """Where the clients are now that ``parcel`` did not reach under ``keys``: location -> key -> mid (0 for a push to
        keys). A member may be back under new keys. Raises :class:`imd.errors.PresenceUnavailable`."""
        where: dict[Location, dict[str, int]] = {}
        if not parcel.mids:
            for key, location in (await self._presence.locate_keys(keys)).items():
                where.setdefault(location, {})[key] = 0
            return where
        handed = parcel.deliveries[0].handed
        sought = set(keys)
        located = await self._presence.locate_members({parcel.mids[key] for key in keys})
        for mid, homes in located.items():
            for key, location in homes.items():
                if key in sought or key not in handed:
                    where.setdefault(location, {})[key] = mid
        return where

    def readdress(self, parcel: Parcel, location: Location, keys: Mapping[str, int]) -> Parcel:
        """The same push for ``keys``, as :meth:`look_again` found them at ``location``."""
        delivery = parcel.deliveries[0]
        mids = NO_MEMBERS
        if parcel.mids:
            delivery.handed |= keys.keys()
            mids = keys
        item = _keys_item(delivery, tuple(keys), mids)
        return Parcel(location=location, item=item, deliveries=(delivery,), mids=mids, looks=parcel.looks + 1)

    # --- finding ----------------------------------------------------------------------------------------------------------

    async def _find(self, pushes: Iterable[Push]) -> _Found:
        """One call per kind of name, whatever the number of pushes."""
        keys: set[str] = set()
        mids: set[int] = set()
        rooms: set[str] = set()
        for push in pushes:
            target = push.target
            if target is _MEMBERS:
                mids.update(push.mids)
            elif target is _KEYS:
                keys.update(push.keys)
            elif target is _ROOM:
                rooms.add(push.room)
        return _Found(
            await self._presence.locate_keys(keys) if keys else {},
            await self._presence.locate_members(mids) if mids else {},
            await self._rooms.hosts(rooms) if rooms else {},
        )

    def _encode(self, delivery: Delivery) -> bool:
        try:
            delivery.packet = delivery.push.packet
        except Exception:  # as above
            self._poison([delivery])
            return False
        return True

    def _poison(self, group: Sequence[Delivery]) -> None:
        self.log.failure("Push {id} cannot be delivered", id=group[0].push.id)
        self._drop(group, len(group), "error")

    def _drop(
        self, group: Sequence[Delivery], packets: int, reason: str, whom: Sequence[tuple[str, int]] = (("", 0),)
    ) -> None:
        """Packets that get no parcel, for there is nobody to address: these (device, mid). Kept ones are in the timeline."""
        self._metrics.addressed.add(packets)
        count_missed(self._metrics, packets, reason, kept=group[0].kept)
        for delivery in group:
            if delivery.traced:
                self._tracer.miss(delivery, whom, reason)

    # --- addressing -------------------------------------------------------------------------------------------------------

    def _address(self, group: list[Delivery], found: _Found) -> list[Parcel]:
        push = group[0].push
        if group[0].traced:
            self._tracer.note(group[0], Step.ROUTED)
        if push.target is _MEMBERS:
            return self._to_members(group[0], found.members)
        if push.target is _ROOM:
            return self._to_room(group, found.rooms.get(push.room, ()))
        if push.target is _KEYS:
            return list(self._to_keys(group[0], found.keys))
        if push.target is Target.ALL:
            return self._to_all(group[0])
        return self._to_replaced(group[0])

    def _to_room(self, group: list[Delivery], hosts: Sequence[Location]) -> list[Parcel]:
        if not hosts:
            self._drop(group, len(group), "not_connected")
            return []
        if len(group) > 1:
            self._metrics.merged.add(len(group))
        push = group[0].push
        item = Item(
            Kind.ROOM,
            b"".join(delivery.packet for delivery in group),
            len(group),
            operation=push.operation if push.operation == Operation.PRESENCE else 0,
            room=push.room,
            marks=_marks(group),
            places=tuple(place for delivery in group for place in delivery.places),
            traced=group[0].traced,
        )
        return [Parcel(location=location, item=item, deliveries=group) for location in hosts]

    def _to_keys(self, delivery: Delivery, found: Mapping[str, Location]) -> Iterator[Parcel]:
        where: dict[Location, list[str]] = {}
        missing: list[tuple[str, int]] = []
        for key in dict.fromkeys(delivery.push.keys):
            location = found.get(key)
            if location is None:
                missing.append((key, 0))
            else:
                where.setdefault(location, []).append(key)
        if missing:
            self._drop([delivery], len(missing), "not_connected", missing)
        for location, keys in where.items():
            for page in pages(keys):
                yield Parcel(location=location, item=_keys_item(delivery, page, NO_MEMBERS), deliveries=(delivery,))

    def _to_members(self, delivery: Delivery, found: Mapping[int, Mapping[str, Location]]) -> list[Parcel]:
        mids = delivery.push.mids
        only = found.get(mids[0]) if len(mids) == 1 and len(delivery.places) < 2 else None
        if only is not None and len(only) == 1:  # nearly all
            return [_to_one(delivery, mids, *only.items())]
        where: dict[Location, list[tuple[str, int]]] = {}
        missing: list[tuple[str, int]] = []
        handed: set[str] = set()
        for mid in dict.fromkeys(mids):
            homes = found.get(mid)
            if not homes:
                missing.append(("", mid))
                continue
            handed.update(homes)
            for key, location in homes.items():
                where.setdefault(location, []).append((key, mid))
        delivery.handed = handed
        if missing:
            self._drop([delivery], len(missing), "not_connected", missing)
        parcels: list[Parcel] = []
        for location, pairs in where.items():
            for page in pages(pairs):
                whose = dict(page)
                item = _keys_item(delivery, tuple(whose), whose)
                parcels.append(Parcel(location=location, item=item, deliveries=(delivery,), mids=whose))
        return parcels

    def _to_all(self, delivery: Delivery) -> list[Parcel]:
        comets, push = self._comets.all(), delivery.push
        if not comets:
            self._drop([delivery], 1, "no_comet")
            return []
        speed = max(1, push.speed // len(comets)) if push.speed > 0 else 0
        item = Item(
            Kind.ALL,
            delivery.packet,
            operation=push.operation,
            speed=speed,
            marks=_marks([delivery]),
            traced=delivery.traced,
        )
        return [
            Parcel(location=Location(server, boot), item=item, deliveries=(delivery,))
            for server, (boot, _) in comets.items()
        ]

    def _to_replaced(self, delivery: Delivery) -> list[Parcel]:
        """A kick. A comet that is gone, or was started again, holds the old connection no longer."""
        push = delivery.push
        comet = self._comets.find(push.server)
        if comet is None or comet[0] != push.boot:
            return []
        item = Item(Kind.KICK, keys=push.keys, reason=push.reason)
        return [Parcel(location=Location(push.server, push.boot), item=item, deliveries=(delivery,))]


def count_missed(metrics: Metrics, packets: int, reason: str, *, kept: bool) -> None:
    """Nobody is handed these packets: they are dropped, or, when they are kept, left to their timelines."""
    if kept:
        metrics.deferred.add(packets, reason)
    else:
        metrics.drops.add(packets, "job", reason)


def _marks(group: Sequence[Delivery]) -> tuple[tuple[int, int], ...]:
    return tuple([(delivery.push.id, delivery.push.at_ms) for delivery in group])


def _to_one(delivery: Delivery, mids: tuple[int, ...], home: tuple[str, Location]) -> Parcel:
    """What :func:`_keys_item` would make, for the one connection of one member."""
    key, location = home
    push = delivery.push
    delivery.handed = {key}
    item = Item(
        _KEYS_ITEM,
        delivery.packet,
        operation=push.operation,
        keys=(key,),
        marks=((push.id, push.at_ms),),
        places=delivery.places,
        traced=bool(push.trace),
        mids=mids,
    )
    return Parcel(location=location, item=item, deliveries=(delivery,), mids={key: mids[0]})


def _keys_item(delivery: Delivery, keys: Sequence[str], mids: Mapping[str, int]) -> Item:
    """For ``keys``; ``mids`` says whose each is, of a push to members."""
    push = delivery.push
    whose = tuple([mids[key] for key in keys]) if mids else ()
    inboxes = delivery.inboxes if mids else {}
    return Item(
        _KEYS_ITEM,
        delivery.packet,
        operation=push.operation,
        keys=tuple(keys),
        marks=((push.id, push.at_ms),),
        places=tuple([inboxes.get(mid, NOWHERE) for mid in whose]) if inboxes else (),
        traced=bool(push.trace),
        mids=whose,
    )
