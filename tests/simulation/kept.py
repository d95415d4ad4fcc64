"""Whether nothing was lost of what is kept: looked at in the calm, when everybody is connected."""

from typing import TYPE_CHECKING

from imd.comet.position import Stage
from imd.protocol.trace import Step
from tests.simulation.book import Book
from tests.simulation.client import FOREVER
from tests.simulation.newer_client import NewerClient, NewerVisit

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

ACK_SECONDS = 6.0  # from a client to the store
SPEAK_SECONDS = 6.0  # that a process must live after a loss, so that what it knows is told


def check(sim: "Simulation") -> int:
    """Answers how many timelines of clients were looked at."""
    checked = 0
    _positions(sim)
    _timelines(sim)
    for client in sim.clients:
        if not isinstance(client, NewerClient):
            continue
        visit = client.visits[-1] if client.visits else None
        if not isinstance(visit, NewerVisit) or visit.over or visit.opened_at == FOREVER:
            continue
        if visit._asked:
            sim.world.fault(f"{visit.name} waits for {visit._asked}")
        for name in sorted(visit.follows):
            book = client.books.get(name)
            if book is not None and book.epoch:
                checked += 1
                timeline = f"r:{name}" if name else f"m:{client._mid}"
                _book(sim, visit, timeline, book)
                _ack(sim, visit, timeline, name)
    _traces(sim)
    return checked


def _book(sim: "Simulation", visit: NewerVisit, timeline: str, book: Book) -> None:
    truth = sim.store.truth
    head = sim.store.timelines._current(timeline)
    place = (head.last, head.epoch) if head is not None else (0, "none")
    if (book.last, book.epoch) != place and not (visit.dropped() and book.epoch == place[1] and book.last < place[0]):
        sim.world.fault(f"{visit.name} has {timeline} up to {(book.last, book.epoch)}, and it is at {place}")
    there = truth.now.get(timeline, {})
    for seq, body in book.handled.items():
        if seq not in there or there[seq].body != body:
            sim.world.fault(f"{visit.name} was not told that {body.decode()}, {seq} of {timeline}, was lost")
    living = {part.process.name for part in sim.all_parts if part.process.alive}
    for kept in truth.all:
        lost = kept.timeline == timeline and kept.lost_at is not None and book.began_at < kept.at
        if lost and kept.publisher in living and kept.body in sim.back_end.accepted:
            sim.world.fault(f"{visit.name} was not told that {kept.body.decode()} of {timeline} is gone")


def _ack(sim: "Simulation", visit: NewerVisit, timeline: str, name: str) -> None:
    """What it has acked long ago is known."""
    seq, epoch, at = visit.acked.get(name, (0, "", 0.0))
    head = sim.store.timelines._current(timeline)
    if not seq or head is None or head.epoch != epoch or at > sim.world.now - ACK_SECONDS:
        return
    device = f"{visit.mid}:{visit.me.name if visit.mid else visit.key}"
    if head.positions.get(device, 0) < seq:
        sim.world.fault(f"{visit.name} acked {seq} of {timeline}, and {device} is at {head.positions.get(device)}")


def _positions(sim: "Simulation") -> None:
    """Everybody goes on live."""
    for comet in sim.comets():
        for bucket in comet.server._edge.directory.channels():
            for channel in bucket:
                for timeline, position in (channel.positions or {}).items():
                    head = sim.store.timelines._current(timeline)
                    at = (head.last, head.epoch) if head is not None else None
                    if position.stage is not Stage.LIVE or (position.last, position.epoch) != at:
                        found = f"{position.stage.name} at {(position.last, position.epoch)}"
                        sim.world.fault(f"{channel.key} is {found} of {timeline}, which is at {at}")


def _timelines(sim: "Simulation") -> None:
    """Each accepted message is there, once, and in the order of the broker."""
    store, truth = sim.store, sim.store.truth
    ever = {(kept.timeline, kept.body) for kept in truth.all}
    accepted = set(sim.back_end.accepted)
    for entry in store.log.values():
        for timeline in entry.push.timelines:
            if entry.push.body in accepted and (timeline, entry.push.body) not in ever:
                sim.world.fault(f"{entry.push.body.decode()} was accepted, and never was in {timeline}")
    for timeline, seqs in truth.now.items():
        bodies = [kept.body for kept in seqs.values()]
        if len(set(bodies)) < len(bodies):
            sim.world.fault(f"{timeline} has a message twice: {bodies}")
        if sorted(seqs) != list(range(min(seqs, default=1), max(seqs, default=0) + 1)):
            sim.world.fault(f"{timeline} has holes: {sorted(seqs)}")
    last: dict[tuple[int, str, str], int] = {}
    for entry in sorted(store.log.values(), key=lambda entry: entry.number):
        if entry.lost_at is not None or store.losses:
            continue
        for timeline, place in zip(entry.push.timelines, entry.places, strict=True):
            name = (entry.partition, timeline, place.epoch)
            if place.seq != last.get(name, place.seq - 1) + 1:
                sim.world.fault(f"entry {entry.number} is {place.seq} of {timeline}, after {last[name]}")
            last[name] = place.seq


def _traces(sim: "Simulation") -> None:
    """What is traced can be told, unless somebody who knew has died."""
    store = sim.store
    if store.losses or any(not part.process.alive for part in sim.all_parts):
        return
    if any(part.metrics.trace_hops.value("lost") for part in sim.all_parts):
        return
    for entry in store.log.values():
        trace = store.traces._traces.get(entry.push.id)
        settled = entry.committed_at is not None and entry.committed_at < sim.world.now - ACK_SECONDS
        if entry.push.trace and settled and entry.answered and entry.push.body in sim.back_end.accepted:
            steps = {hop.step for hop in trace.hops} if trace else set()
            if not {Step.ACCEPTED, Step.STORED, Step.TAKEN} <= steps:
                sim.world.fault(f"of {entry.push.body.decode()} is known only {sorted(step.name for step in steps)}")
