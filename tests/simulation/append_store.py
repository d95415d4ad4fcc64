"""Where imd's appenders append: the scripts of Redis, answered by the simulated store."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from imd.errors import BrokerUnavailable
from imd.interfaces import Receipt
from imd.protocol.push import Push, fingerprint, load
from imd.protocol.timeline import Place
from tests.simulation.store import StoreLink


class AppendStore:
    """In place of :class:`imd.backend.redis_partitions.RedisPartitions`, for one process; it knows ``publish`` only."""

    def __init__(self, link: StoreLink) -> None:
        self._link = link

    async def run(
        self, role: object, call: str, script: object, partition: int, arguments: Sequence[Any], *, in_order: bool
    ) -> list[Any]:
        """As ``lua/publish.lua`` answers: how many entries there are, the places of each, and what was stored earlier."""
        assert call == "publish" and in_order
        pushes = list(_pushes(arguments))
        link = self._link
        receipts, stored = await link.call(
            f"publish {' '.join(map(_words, pushes))}",
            lambda: link.store.publish([(partition, push) for push in pushes], link.process.name),
            BrokerUnavailable,
        )
        for entry in stored:
            entry.answered = True
        earlier: list[Any] = []
        for turn, (push, receipt) in enumerate(zip(pushes, receipts, strict=True), 1):
            if receipt.repeated or receipt.conflict:
                earlier += turn, _mark(push, receipt)
        places = [b"" if receipt.repeated or receipt.conflict else _pack(receipt.places) for receipt in receipts]
        return [len(link.store.broker._partitions[partition].stored), places, earlier]


def _pushes(arguments: Sequence[Any]) -> Iterator[Push]:
    """As the script reads its arguments."""
    rest = iter(arguments[1:])
    for _ in rest:  # the idempotency key, which the push has too
        next(rest)  # its mark
        yield load(next(rest))
        timelines = next(rest)
        for _ in range(timelines + 3 if timelines else 0):
            next(rest)


def _pack(places: Sequence[Place]) -> bytes:
    if not places:
        return b""
    era = places[0].epoch.rpartition("-")[0]
    pairs = [part for place in places for part in (place.seq, place.epoch.rpartition("-")[2])]
    return msgspec.msgpack.encode([era, *pairs])


def _mark(push: Push, receipt: Receipt) -> bytes:
    asked = fingerprint(push).hex() if receipt.repeated else "something else"
    return b"%d:%s:%s" % (receipt.id, asked.encode(), _pack(receipt.places))


def _words(push: Push) -> str:
    names = ",".join(push.keys) or ",".join(map(str, push.mids)) or push.room
    return f"{push.body.decode() or 'kick'}->{push.target.name.lower()}({names})"
