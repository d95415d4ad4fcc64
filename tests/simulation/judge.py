"""The judge: whether everybody got what was promised, in order, and once."""

from itertools import pairwise
from typing import TYPE_CHECKING

from imd.protocol.operation import Operation
from imd.protocol.push import Push, Target
from tests.simulation.chaos import LATE_SECONDS
from tests.simulation.client import FOREVER, Visit
from tests.simulation.store import Stored

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

ARRIVAL_SECONDS = 1.5  # from comet's answer to the client, and from the registry to a job
SWEEP_SECONDS = 20.0  # a paced broadcast


def check(sim: "Simulation") -> int:
    """Judge every connection; answers how many deliveries had to happen."""
    stored = sorted(sim.store.log.values(), key=lambda entry: entry.number)
    visits = [visit for client in sim.clients for visit in client.visits]
    bodies = {entry.push.body for entry in stored}
    checked = 0
    for body in sim.back_end.accepted:
        if body not in bodies:
            sim.world.fault(f"{body.decode()} was accepted and is not in the broker")
    for visit in visits:
        received = [receipt.body for receipt in visit.received]
        for entry in stored:
            if entry.push.target is not Target.KICK and _due(sim, visits, visit, entry):
                checked += 1
                if entry.push.body not in received:
                    sim.world.fault(f"{visit.name} on {visit.comet.process.name} did not get {_words(entry)}")
        _its_own(sim, visit, received, stored)
        _once(sim, visit, received, stored)
        _in_order(sim, visits, visit, received, stored)
    return checked


def _words(entry: Stored) -> str:
    push = entry.push
    committed = entry.committed_at or 0.0
    names = push.keys or push.mids or push.room
    return f"{push.body.decode()} to {push.target.name} {names}, stored {entry.stored_at:.3f}, settled {committed:.3f}"


def _due(sim: "Simulation", visits: list[Visit], visit: Visit, entry: Stored) -> bool:
    """Whether it must have got it, with no excuse."""
    push, begin = entry.push, entry.stored_at
    if entry.committed_at is None or visit.opened_at >= begin or push.operation == Operation.PRESENCE:
        return False
    if push.keep_count and visit.version > 1:
        return False  # tests.simulation.kept looks at those
    if sim.excuses.any("store", begin - ARRIVAL_SECONDS, end_of(entry)):
        return False
    end = end_of(entry)
    if min(visit.ended_at, visit.comet_ended_at) <= end or any(b < end and e > begin for b, e in visit.slow):
        return False
    if not _is_for(visit, push, begin, end):
        return False
    comet = visit.comet
    if not sim.storage.lived(comet.location, visit.began_at, end):
        return False
    if sim.excuses.any(comet.process.name, begin - ARRIVAL_SECONDS, end):
        return False
    if sim.excuses.any("job paused", begin, end) or sim.excuses.any("late", visit.began_at - LATE_SECONDS, end):
        return False
    if push.target is Target.ALL:
        if sim.ensemble.entered_at[comet.name, comet.boot] > begin - ARRIVAL_SECONDS:
            return False
        if push.speed and comet.metrics.drops.value("comet", "sweeps"):
            return False
    if _by_policy(sim, visit):
        return False
    return push.target in (Target.ROOM, Target.ALL) or not _shared(visits, visit, end)


def end_of(entry: Stored) -> float:
    """When it must have been read. Precondition: it was committed."""
    assert entry.committed_at is not None
    return entry.committed_at + (SWEEP_SECONDS if entry.push.speed else ARRIVAL_SECONDS)


POLICIES = ("full", "slow_consumer", "outbox_oldest", "outbox_superseded")


def _by_policy(sim: "Simulation", visit: Visit) -> bool:
    """Whether its comet dropped something for a named reason that may have been this: a full outbox, a full queue."""
    if any(visit.comet.metrics.drops.value("comet", reason) for reason in POLICIES):
        return True
    return any(part.metrics.drops.value("job", "overloaded") for part in sim.all_parts)


def _is_for(visit: Visit, push: Push, begin: float, end: float) -> bool:
    """Whether the push is for it, all the time."""
    if push.target is Target.ROOM:
        return any(stay.room == push.room and stay.since < begin and stay.until > end for stay in visit.stays)
    if visit.accepts.get(push.operation, FOREVER) >= begin:
        return False
    if push.target is Target.KEYS:
        return visit.key in push.keys
    return push.target is Target.ALL or visit.mid in push.mids


def _shared(visits: list[Visit], visit: Visit, end: float) -> bool:
    """Whether another connection may have had the key while it was this one's: the newest has it."""
    if not visit.key:
        return False
    for other in visits:
        if other is visit or other.key != visit.key or other.began_at >= end:
            continue
        settled = min(other.opened_at, other.ended_at)  # logic has answered it, unless it never opened
        if other.opened_at == FOREVER:
            settled += 2 * LATE_SECONDS
        if settled > visit.began_at:
            return True
    return False


def _its_own(sim: "Simulation", visit: Visit, received: list[bytes], stored: list[Stored]) -> None:
    """Nothing that is another member's."""
    got = {*received, *visit.inbox}
    for entry in stored:
        if entry.push.target is Target.MEMBERS and visit.mid in entry.push.mids:
            got.discard(entry.push.body)  # of a push to members of two partitions there are two entries
    for entry in stored:
        if entry.push.target is Target.MEMBERS and entry.push.body in got:
            sim.world.fault(f"{visit.name} of member {visit.mid} got {_words(entry)}, which is for another member")


def _once(sim: "Simulation", visit: Visit, received: list[bytes], stored: list[Stored]) -> None:
    """Twice only if the broker handed it out twice."""
    seen: set[bytes] = set()
    again = {body for body in received if body in seen or seen.add(body)}  # type: ignore[func-returns-value]  # an idiom
    for entry in stored:
        if entry.push.body in again and len(entry.handed_out) <= 1:
            others = [each for each in stored if each.push.body == entry.push.body]
            if len(others) == 1:
                sim.world.fault(f"{visit.name} got {_words(entry)} twice")
            elif sim.store.losses:
                pass  # of its idempotency keys too
            elif entry.push.idempotency_key and len({each.partition for each in others}) < len(others):
                sim.world.fault(f"{_words(entry)} was stored twice")


def _in_order(
    sim: "Simulation", visits: list[Visit], visit: Visit, received: list[bytes], stored: list[Stored]
) -> None:
    """Pushes to one target come in the order in which they were stored, once duplicates are taken out."""
    first: dict[bytes, int] = {}
    for place, body in enumerate(received):
        first.setdefault(body, place)
    targets: dict[object, list[Stored]] = {}
    for entry in stored:
        push = entry.push
        if push.body not in first or entry.stored_at < visit.opened_at or push.speed:
            continue
        begin, end = entry.stored_at - LATE_SECONDS, (entry.committed_at or FOREVER) + 1
        # a paused job goes on beside the next owner; what a cut link lost may come again, and alone, with the next owner
        disturbed = any(sim.excuses.any(name, begin, end) for name in ("job paused", "store", visit.comet.process.name))
        if disturbed:
            continue
        if push.target is Target.ROOM or push.target is Target.ALL:
            targets.setdefault((push.target, push.room), []).append(entry)
        elif _shared(visits, visit, end):
            continue  # what went to the other connection first is looked for again, and may come later
        elif push.target is Target.KEYS and visit.key in push.keys:
            targets.setdefault("key", []).append(entry)
        elif push.target is Target.MEMBERS and visit.mid in push.mids:  # else it is another partition's share
            targets.setdefault("member", []).append(entry)
    for entries in targets.values():
        for early, late in pairwise(entries):
            if first[early.push.body] > first[late.push.body] and early.push.body != late.push.body:
                sim.world.fault(f"{visit.name} got {_words(late)} before {_words(early)}")
