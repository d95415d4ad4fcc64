"""What a seed decides before the story begins: sizes, limits, which faults there will be and how often."""

from dataclasses import dataclass
from random import Random

from imd.comet.limits import Limits
from imd.comet.policy import SlowPolicy
from imd.job.settings import JobSettings

LEASE_SECONDS = 6.0
STORM_SECONDS = (8.0, 30.0)

ACTS = ("room", "sub", "send", "slow", "close", "reset", "vanish")
FAULTS = (
    "crash comet",
    "crash logic",
    "crash job",
    "stop comet",
    "stop job",
    "pause comet",
    "pause logic",
    "pause job",
    "cut",
    "block",
    "presence away",
    "presence flaky",
    "presence stalls",
    "broker away",
    "broker flaky",
    "jump",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Swarm testing: a seed has some kinds of faults and not others, so that the promises are strict in many of them."""

    comets: int
    logics: int
    jobs: int
    clients: int
    partitions: int
    pushes: int
    storm_seconds: float
    shared_keys: bool
    rooms: tuple[str, ...]
    acts: tuple[str, ...]
    client_rate: float  # acts of a client a second
    faults: tuple[str, ...]
    fault_rate: float  # a second
    slow: float  # the share of messages that take long
    high_bytes: int  # of a client's socket
    limits: Limits
    job: JobSettings


def plan(chance: Random) -> Plan:
    """The plan of a seed."""
    storm = chance.uniform(*STORM_SECONDS)
    limits = Limits(
        handshake_seconds=5,
        heartbeat_seconds=4,
        outbox_bytes=chance.choice((1_200, 10_000, 1_000_000)),
        slow_policy=chance.choice(list(SlowPolicy)),
        slow_policies={"live": chance.choice(list(SlowPolicy))},
        buckets=chance.choice((1, 4)),
        deliveries_per_turn=chance.choice((1, 3, 100)),
        delivery_queue_bytes=chance.choice((3_000, 1_000_000, 1_000_000)),
        sweeps=2,
        linger_seconds=2,
        renew_seconds=1.5,
        full_cycle_seconds=6,
        stop_seconds=2,
    )
    faults = tuple(fault for fault in FAULTS if chance.random() < 0.25) if chance.random() < 0.85 else ()
    acts = tuple(act for act in ACTS if chance.random() < 0.6) or ("room",)
    return Plan(
        comets=chance.randint(1, 3),
        logics=chance.randint(1, 2),
        jobs=chance.randint(1, 3),
        clients=chance.randint(2, 9),
        partitions=chance.randint(1, 4),
        pushes=chance.randint(10, 90),
        storm_seconds=storm,
        shared_keys=chance.random() < 0.4,
        rooms=("live://1", "live://2", "chat://1")[: chance.randint(1, 3)],
        acts=acts,
        client_rate=chance.choice((0.03, 0.1, 0.5)),
        faults=faults,
        fault_rate=chance.choice((0.1, 0.3, 0.6)) if faults else 0.0,
        slow=chance.choice((0.0, 0.0, 0.1, 0.5)),
        high_bytes=chance.choice((64, 2_000, 100_000)),
        limits=limits,
        job=JobSettings(
            read_limit=chance.choice((1, 3, 256)),
            window=chance.choice((1, 3, 8)),
            settle_seconds=2.0,
            backlog_seconds=4.0,
        ),
    )
