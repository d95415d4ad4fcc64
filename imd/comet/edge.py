"""Edge: what all sessions of one comet share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imd.comet.accepts import AcceptSets
from imd.comet.acks import Acks
from imd.comet.admission import Admission
from imd.comet.departures import Departures
from imd.comet.directory import Directory
from imd.comet.expiry import ExpiryList
from imd.comet.follower import Follower
from imd.comet.idle import IdleList
from imd.comet.interest import Interest
from imd.comet.limits import Limits
from imd.comet.membership import Membership
from imd.comet.renewal import Renewal
from imd.comet.reservoir import Reservoir
from imd.comet.work import Work
from imd.interfaces import Clock, LogicClient
from imd.metrics import Metrics

if TYPE_CHECKING:
    from imd.comet.session import Session


@dataclass(frozen=True, slots=True)
class Edge:
    """One object instead of a dozen attributes in each session. ``Server`` makes it."""

    server: str  # this comet's id in the registry
    boot: int  # ms since the epoch when it started
    limits: Limits
    clock: Clock
    metrics: Metrics
    logic: LogicClient
    make_key: Callable[[], str]  # 32 random hex digits
    random: Callable[[], float]  # from 0 to below 1, so that clients who are sent away do not come back at once
    directory: Directory
    interest: Interest
    departures: Departures
    follower: Follower
    membership: Membership
    acks: Acks
    renewal: Renewal
    reservoir: Reservoir
    admission: Admission
    accept_sets: AcceptSets
    work: Work
    handshakes: "IdleList[Session]"  # from accept to op 8
    heartbeats: "IdleList[Session]"  # open ones, since their last op 2
    expiries: "ExpiryList[Session]"  # those of version 2 whose token ends
    ended: "Callable[[Session], None]"  # told when the connection is gone
