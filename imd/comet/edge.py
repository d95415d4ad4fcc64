"""Edge: what all sessions of one comet share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imd.comet.accepts import AcceptSets
from imd.comet.admission import Admission
from imd.comet.departures import Departures
from imd.comet.directory import Directory
from imd.comet.idle import IdleList
from imd.comet.interest import Interest
from imd.comet.limits import Limits
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
    directory: Directory
    interest: Interest
    departures: Departures
    renewal: Renewal
    reservoir: Reservoir
    admission: Admission
    accept_sets: AcceptSets
    work: Work
    handshakes: "IdleList[Session]"  # from accept to op 8
    heartbeats: "IdleList[Session]"  # open ones, since their last op 2
    ended: "Callable[[Session], None]"  # told when the connection is gone
