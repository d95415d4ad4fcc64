"""What a seed decides before the story begins: sizes, limits, which faults there will be and how often."""

from dataclasses import dataclass
from random import Random

from imd.comet.limits import Limits
from imd.comet.policy import SlowPolicy
from imd.job.settings import JobSettings
from imd.logic.keep import KeepRules
from imd.protocol.room_type import LIVE, Keep, RoomType, RoomTypes, Send

LEASE_SECONDS = 6.0
STORM_SECONDS = (8.0, 30.0)
CROWDS = (*(0,) * 12, *(5,) * 6, *(12,) * 3, 40, 40, 150)  # most seeds have none: each guest costs what a client does

ACTS = ("room", "sub", "send", "slow", "close", "reset", "vanish", "sync", "ack")
FAULTS = (
    "crash comet",
    "crash logic",
    "crash job",
    "stop comet",
    "stop job",
    "pause comet",
    "pause logic",
    "pause job",
    "strand job",
    "cut",
    "block",
    "presence away",
    "presence flaky",
    "presence stalls",
    "broker away",
    "broker flaky",
    "broker stalls",
    "store lost",
    "store goes back",
    "store goes back",
    "store restarts",
    "jump",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Swarm testing: a seed has some kinds of faults and not others, so that the promises are strict in many of them."""

    comets: int
    logics: int
    jobs: int
    clients: int
    crowd: int  # guests beside them, who come and go together
    newer: float  # the share of clients that speak version 2
    partitions: int
    pushes: int
    storm_seconds: float
    shared_keys: bool
    rooms: tuple[str, ...]
    rules: KeepRules
    head_seconds: float  # that the store remembers a timeline in which nothing is left
    traced: float  # the share of pushes that are
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
    inboxes, types = _kept(chance)
    limits = Limits(
        handshake_seconds=5,
        heartbeat_seconds=4,
        outbox_bytes=chance.choice((1_200, 10_000, 1_000_000)),
        slow_policy=chance.choice(list(SlowPolicy)),
        slow_policies={"live": chance.choice(list(SlowPolicy)), "chat": chance.choice(list(SlowPolicy))},
        room_types=types,
        inboxes_kept=inboxes is not LIVE,
        rooms=3,
        resumes_per_second=chance.choice((2, 1_000)),
        resumes_burst=chance.choice((2, 2_000)),
        reads=chance.choice((1, 4)),
        page_messages=chance.choice((1, 3, 100)),
        check_seconds=chance.choice((2, 5)),
        buckets=chance.choice((1, 4)),
        deliveries_per_turn=chance.choice((1, 3, 100)),
        delivery_queue_bytes=chance.choice((3_000, 1_000_000, 1_000_000)),
        sweeps=2,
        linger_seconds=2,
        renew_seconds=1.5,
        full_cycle_seconds=6,
        stop_seconds=2,
    )
    # each coming and going is a push: a job that takes one at a time would never be done
    limit = (1, 3, 256) if not types.of("chat://1").presence_events else (256,)
    faults = tuple(fault for fault in FAULTS if chance.random() < 0.25) if chance.random() < 0.85 else ()
    acts = tuple(act for act in ACTS if chance.random() < 0.6) or ("room",)
    return Plan(
        comets=chance.randint(1, 3),
        logics=chance.randint(1, 2),
        jobs=chance.randint(1, 3),
        clients=chance.randint(2, 9),
        crowd=min(chance.choice(CROWDS), 5 if types.of("chat://1").presence_events else 150),
        newer=chance.choice((0.0, 0.5, 0.8, 1.0)),
        partitions=chance.randint(1, 4),
        pushes=chance.randint(10, 90),
        storm_seconds=storm,
        shared_keys=chance.random() < 0.4,
        rooms=("chat://1", "live://1", "chat://2", "live://2")[: chance.randint(1, 4)],
        rules=KeepRules(inboxes, types),
        head_seconds=chance.choice((10.0, 1e6, 1e6, 1e6)),
        traced=chance.choice((0.0, 0.3)),
        acts=acts,
        client_rate=chance.choice((0.03, 0.1, 0.5)),
        faults=faults,
        fault_rate=chance.choice((0.1, 0.3, 0.6)) if faults else 0.0,
        slow=chance.choice((0.0, 0.0, 0.1, 0.5)),
        high_bytes=chance.choice((64, 2_000, 100_000)),
        limits=limits,
        job=JobSettings(
            read_limit=chance.choice(limit),
            window=chance.choice((1, 3, 8)),
            settle_seconds=2.0,
            backlog_seconds=4.0,
            sweep_seconds=3.0,
        ),
    )


def _kept(chance: Random) -> tuple[Keep, RoomTypes]:
    """What is kept of inboxes, and the types of rooms."""
    keep = Keep(chance.choice((4, 20, 1000, 1000)), chance.choice((8_000, 10**9, 10**9)))
    chat = RoomType(keep=keep, send=Send.JOINED, presence_events=chance.random() < 0.3)
    return keep if chance.random() < 0.8 else LIVE, RoomTypes({"chat": chat})
