"""Logic's parts put together as ``imd.service.logic`` does it, on products that a test hands in."""

from collections.abc import Callable

from imd.interfaces import Authenticator, Broker, Leases, Presence, ReceiveHook, Rooms, Timelines, Traces
from imd.logic.attendance import Attendance
from imd.logic.connection import Connections
from imd.logic.devices import DeviceLimits, Devices
from imd.logic.ids import IdMaker
from imd.logic.keep import LIVE_ONLY, KeepRules
from imd.logic.kept_messages import KeptMessages
from imd.logic.kicks import Kicks
from imd.logic.push import Pusher
from imd.logic.push_limits import PushLimits
from imd.logic.receive import Discard
from imd.logic.sender import Sender
from imd.logic.trace_notes import TraceNotes
from imd.logic.tracing import Tracing
from imd.logic.trust import TrustAuthenticator
from imd.metrics import Metrics
from imd.protocol.room_type import Send


class Brain:
    """``connections`` answers comets, ``pusher`` back ends, ``notes`` writes traces."""

    def __init__(
        self,
        *,
        presence: Presence,
        rooms: Rooms,
        leases: Leases,
        broker: Broker,
        timelines: Timelines,
        traces: Traces,
        ids: IdMaker,
        now: Callable[[], float],
        metrics: Metrics,
        authenticator: Authenticator | None = None,
        hook: ReceiveHook | None = None,
        rules: KeepRules = LIVE_ONLY,
        to_members: Send = Send.NOBODY,
        limits: DeviceLimits | None = None,
        trace_share: float = 0.0,
        public_comets: bool = True,
        name: str = "logic/l1",
    ) -> None:
        kicks = Kicks(broker=broker, ids=ids, now=now, metrics=metrics)
        self.notes = TraceNotes(traces=traces, process=name, metrics=metrics)
        self.pusher = Pusher(
            broker=broker,
            ids=ids,
            now=now,
            limits=PushLimits(),
            metrics=metrics,
            rules=rules,
            tracing=Tracing(notes=self.notes, process=name, share=trace_share),
        )
        types = rules.room_types
        self.connections = Connections(
            authenticator=authenticator or TrustAuthenticator(),
            presence=presence,
            rooms=rooms,
            leases=leases,
            kicks=kicks,
            devices=Devices(presence=presence, kicks=kicks, limits=limits or DeviceLimits()),
            kept=KeptMessages(timelines=timelines, notes=self.notes, now=now),
            sender=Sender(pusher=self.pusher, metrics=metrics, room_types=types, to_members=to_members),
            attendance=Attendance(broker=broker, ids=ids, now=now, metrics=metrics, room_types=types),
            hook=hook or Discard(),
            metrics=metrics,
            public_comets=public_comets,
        )
