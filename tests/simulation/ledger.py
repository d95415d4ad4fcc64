"""The ledger: what each layer counted, and that the layers agree, to the last packet.

======== ==============================================================================================================
layer    balance
======== ==============================================================================================================
broker   published (logic) = stored, less what was stored and nobody heard of; stored = committed
job      taken = entries that a read handed out; settled >= stored, and = taken where no partition was given up
hand     handed over (job) = outcomes of comets whose answer arrived; it is at most what comets answered
comet    deliveries and drops = outcomes answered (keys, rooms, broadcasts at once), for a comet that was not killed
socket   deliveries + replayed - drops of outboxes = packets written to sockets
store    kept = held + acked + expired, as the store counts
door     accepted + refused = closed, once everybody is gone
======== ==============================================================================================================
"""

from collections import Counter
from typing import TYPE_CHECKING

from imd.ledger import Figures, balances
from imd.metrics import Counter as Metric
from tests.simulation import aftermath
from tests.simulation.comet import CometProcess
from tests.simulation.job import JobProcess
from tests.simulation.logic import LogicProcess
from tests.simulation.rpc_network import sums

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


def total(metric: Metric) -> int:
    """Over all labels."""
    return int(sum(metric.values.values()))


WITHIN = ("api", "publish", "read", "settle", "route", "comet", "fan-out", "outbox")  # one process' own accounts


def check(sim: "Simulation") -> None:
    """Every balance, at the end of a story."""
    for part in sim.all_parts:
        figures = Figures()
        figures.add_all(part.metrics)
        for balance in balances(figures):
            if balance.layer in WITHIN and balance.difference:
                sim.world.fault(f"the ledger of {part.process.name} does not balance: {balance}")
    _between(sim)
    for words, left, right in (*_broker(sim), *_jobs(sim), *_comets(sim)):
        if left != right:
            sim.world.fault(f"the ledger does not balance: {words}: {left} != {right}")


def _between(sim: "Simulation") -> None:
    """The accounts of imd.ledger that have two ends, or are the store's own."""
    figures = Figures()
    for part in sim.all_parts:
        if part.process.alive:
            figures.add_all(part.metrics)
    for state, count in aftermath.now(sim.store.timelines.totals())._asdict().items():
        figures.add("imd_timeline_messages", {"state": state}, count)
    for balance in balances(figures):
        if balance.layer in ("hand over", "timelines") and balance.difference:
            sim.world.fault(f"the ledger does not balance: {balance}")


def _broker(sim: "Simulation") -> list[tuple[str, object, object]]:
    logics = [part for part in sim.all_parts if isinstance(part, LogicProcess)]
    stored = sim.store.log.values()
    published: Counter[str] = Counter()
    for logic in logics:
        for (target,), count in logic.metrics.published.values.items():
            published[target] += int(count)
    answered = Counter(entry.push.target.name.lower() for entry in stored if entry.answered)
    waiting = [entry.number for entry in stored if entry.committed_at is None and entry.lost_at is None]
    return [
        ("published, and stored with somebody hearing of it", dict(published), dict(answered)),
        ("stored and never committed", waiting, []),
    ]


def _jobs(sim: "Simulation") -> list[tuple[str, object, object]]:
    jobs = [part for part in sim.all_parts if isinstance(part, JobProcess)]
    stored = list(sim.store.log.values())
    handed_out = Counter(name for entry in stored for name in entry.handed_out)
    balances: list[tuple[str, object, object]] = []
    for job in jobs:
        taken, settled = total(job.metrics.taken), total(job.metrics.settled)
        balances.append((f"{job.process.name} took, and was handed out", taken, handed_out[job.process.name]))
        calm = job.process.alive and not sim.excuses.any(job.process.name, 0, 1e9) and len(sim.parts("job")) == 1
        if calm and sim.plan.jobs == 1 and not sim.plan.faults:
            balances.append((f"{job.process.name} took, and settled", taken, settled))
    known = sum(total(job.metrics.settled) for job in jobs)
    balances.append(
        ("settled as often as stored, at least", known >= sum(entry.committed_at is not None for entry in stored), True)
    )
    heard = sums(sim.network.answered)
    for label, count in heard.items():
        counted = sum(int(job.metrics.handed_over.value(label)) for job in jobs)
        balances.append((f"jobs count handed over as {label}, and comets answered that", counted, count))
    return balances


def _comets(sim: "Simulation") -> list[tuple[str, object, object]]:
    balances: list[tuple[str, object, object]] = []
    for comet in (part for part in sim.all_parts if isinstance(part, CometProcess)):
        if not comet.process.alive:  # its last outcomes died with it, or were left when it stopped
            continue
        metrics, name = comet.metrics, comet.process.name
        for target in ("keys", "room"):
            for outcome in ("delivered", "filtered", "duplicate", "deferred"):
                counted = int(metrics.deliveries.value(target, outcome))
                words = f"{name} counts {target} {outcome}, and answered that"
                balances.append((words, counted, comet.outcomes[target, outcome]))
        drops = {reason: int(count) for (_, reason), count in metrics.drops.values.items() if count}
        replayed = sum(int(metrics.replayed.value(outcome)) for outcome in ("written", "held"))
        lost = sum(count for reason, count in drops.items() if reason.startswith("outbox_"))
        delivered = sum(int(count) for (_, what), count in metrics.deliveries.values.items() if what == "delivered")
        streams = [visit.stream for client in sim.clients for visit in client.visits if visit.comet is comet]
        written = sum(stream.written_packets for stream in streams)
        balances.append(
            (f"{name} delivered less lost in outboxes, and wrote to sockets", delivered + replayed - lost, written)
        )
        accepted, closed = total(metrics.accepted), total(metrics.closed)
        refused = int(metrics.closed.value("server_full") + metrics.closed.value("address_limit"))
        balances.append((f"{name} accepted and refused, and closed", accepted + refused, closed))
        results = total(metrics.authentications)
        balances.append((f"{name} began no more handshakes than it accepted", results <= accepted, True))
    return balances
