"""What must be true when the storm is over: presence, rooms and queues say what is so, and nothing is left behind."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from imd.interfaces import Location
from imd.protocol.rpc import Method
from tests.simulation.comet import CometProcess
from tests.simulation.job import JobProcess

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


METHODS = tuple(Method)


def check_calm(sim: "Simulation") -> None:
    """Clients are connected and calm: presence knows them all, and nobody else."""
    comets = sim.comets()
    here: dict[str, Location] = {}
    rooms: dict[str, dict[Location, int]] = {}
    for comet in comets:
        if not comet.listening:
            sim.world.fault(f"{comet.process.name} has not come back")
        directory = comet.server._edge.directory
        for bucket in directory.channels():
            for channel in bucket:
                if channel.key in here:
                    sim.world.fault(f"{channel.key} is connected twice")
                here[channel.key] = comet.location
                for room in channel.rooms:
                    rooms.setdefault(room, {}).setdefault(comet.location, 0)
                    rooms[room][comet.location] += 1
    open_visits = [visit for client in sim.clients for visit in client.visits if not visit.over]
    _same(sim, "clients connected, and channels open", len(open_visits), len(here))
    _same(sim, "presence, and who is connected", _entries(sim, here), here)
    hosts = now(sim.storage.rooms.hosts(sim.plan.rooms))
    held = {room: sorted(at) for room, at in rooms.items()}
    found = {room: sorted(at) for room, at in hosts.items()}
    if _ghosts(sim):
        found = {room: [at for at in found.get(room, []) if at in held[room]] for room in held}
    _same(sim, "rooms hosted, and rooms with members", found, held)
    counts = {room: sum(at.values()) for room, at in rooms.items()}
    if not _ghosts(sim):
        _same(sim, "members of rooms", now(sim.storage.rooms.counts(sim.plan.rooms)), counts)
    mids = {client._mid for client in sim.clients}
    located = now(sim.storage.presence.locate_members(mids))
    expected: dict[int, dict[str, Location]] = {}
    for comet in comets:
        for bucket in comet.server._edge.directory.channels():
            for channel in bucket:
                if channel.mid:
                    expected.setdefault(channel.mid, {})[channel.key] = comet.location
    if not _ghosts(sim):
        _same(sim, "members in presence, and connected", located, expected)


def check_end(sim: "Simulation") -> None:
    """Everybody is gone: nothing is left."""
    if not _ghosts(sim):
        _same(sim, "presence of nobody", _entries(sim), {})
        _same(sim, "rooms of nobody", now(sim.storage.rooms.hosts(sim.plan.rooms)), {})
    _same(sim, "the broker's backlog", now(sim.store.broker.backlog()).entries, 0)
    for part in sim.all_parts:
        if part.process.alive:
            if isinstance(part, CometProcess):
                _comet(sim, part)
            elif isinstance(part, JobProcess):
                _job(sim, part)
    for connection in sim.network.connections.values():
        calls = [METHODS[id >> 56] for id in connection.dialer._link._pending]  # the highest byte says which
        calls = [method for method in calls if method is not Method.RENEW]
        _same(sim, f"calls pending on {connection.name}", calls, [])


def _comet(sim: "Simulation", comet: CometProcess) -> None:
    edge, delivery = comet.server._edge, comet.server._delivery
    left = {
        "admitted": edge.admission.conn_count,
        "addresses": edge.admission.ip_count,
        "channels": len(edge.directory),
        "rooms": edge.directory.room_count,
        "departures": len(edge.departures),
        "entering": len(edge.departures._entering),
        "flights": len(edge.departures._flights),
        "pinned": len(edge.departures._pinned),
        "postponed": len(edge.departures._postponed),
        "interest": len(edge.interest._places),
        "lingering": len(edge.interest._lingering),
        "work": len(edge.work) - (1 if edge.renewal._renewing else 0),
        "handshakes": len(edge.handshakes),
        "opened": len(edge.follower._opened),
        "to be read for": len(edge.follower._catch_up._due) + len(edge.follower._catch_up._failed),
        "asked": len(edge.follower._reader._asked) + len(edge.follower._reader._answers),
        "acks": len(edge.acks._pending),
        "heartbeats": len(edge.heartbeats),
        "outboxes": len(edge.reservoir.holders),
        "waiting bytes": delivery.waiting_bytes,
        "parcels": len(delivery._parcels),
        "joinable": len(delivery._joinable),
        "sweeps": len(delivery._sweeps),
        "requests": len(comet.rpc._in_progress),
        "connections": comet.metrics.connections.value("tcp"),
    }
    _same(sim, f"left in {comet.process.name}", {name: count for name, count in left.items() if count}, {})


def _job(sim: "Simulation", job: JobProcess) -> None:
    left = {}
    for number, partition in job.dispatcher._partitions.items():
        hand = partition._hand_over
        assert hand is not None
        left[f"{number} flights"] = len(partition._flights)
        left[f"{number} looking"] = len(hand._looking)
        left[f"{number} lanes"] = sum(not lane.idle for lane in hand._lanes.values())
    _same(sim, f"left in {job.process.name}", {name: count for name, count in left.items() if count}, {})


def _ghosts(sim: "Simulation") -> bool:
    """Whether a request may have been done after its sender had given it up, and had sent a newer one that undid it. What
    it entered then stays as long as its comet lives: nothing is missing, but something may be too much."""
    return sim.excuses.any("late", 0, 1e9)


def _entries(sim: "Simulation", here: Collection[str] = ()) -> dict[str, Location]:
    """All that presence shows; of ``here`` only, where there may be ghosts."""
    keys = sorted(here if _ghosts(sim) else sim.storage.presence._keys)
    return dict(now(sim.storage.presence.locate_keys(keys)))


def now(coroutine: Any) -> Any:
    """What memory answers at once."""
    answers: list[Any] = []
    Deferred.fromCoroutine(coroutine).addCallback(answers.append)
    return answers[0]


def _same(sim: "Simulation", words: str, found: object, expected: object) -> None:
    if found != expected:
        sim.world.fault(f"{words}: {found} instead of {expected}")
