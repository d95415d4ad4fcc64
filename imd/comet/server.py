"""Server: one comet's brain. Transports bring it connections, job brings it batches."""

from collections.abc import Callable

from twisted.logger import Logger

from imd.comet.accepts import AcceptSets
from imd.comet.acks import Acks
from imd.comet.admission import Admission
from imd.comet.attendance import Attendance
from imd.comet.channel import Channel
from imd.comet.delivery import Delivery
from imd.comet.departures import Departures
from imd.comet.directory import Directory
from imd.comet.edge import Edge
from imd.comet.expiry import ExpiryList
from imd.comet.fences import Fences
from imd.comet.follower import Follower
from imd.comet.idle import IdleList
from imd.comet.interest import Interest
from imd.comet.limits import Limits
from imd.comet.membership import Membership
from imd.comet.renewal import Renewal
from imd.comet.reservoir import Reservoir
from imd.comet.session import Session
from imd.comet.work import Work
from imd.errors import BadRequest, CloseReason, ImdError, PeerUnavailable
from imd.interfaces import Arm, Clock, Connection, LogicClient, Timer
from imd.metrics import Metrics
from imd.protocol.rpc import Batch, Outcomes

SWEEP_SECONDS = 1.0  # how late a deadline may be noticed
GONE_SECONDS = 0.05  # between two looks at whether all clients have gone
SWEEP_LIMIT = 500  # sessions, or rooms, that one look may end; the next look comes at once then
STANDSTILL_SECONDS = 2.0  # a look that is so late: this process stood still, and job may have given up on it meanwhile
REASONS = {reason.code: reason for reason in CloseReason}


class Server:
    """One start of one comet. ``accept`` and ``push`` may be called between ``start`` and the end of ``stop``."""

    _log = Logger()

    def __init__(
        self,
        *,
        server: str,
        boot: int,
        logic: LogicClient,
        clock: Clock,
        metrics: Metrics,
        make_key: Callable[[], str],
        random: Callable[[], float],
        now_ms: Callable[[], int],
        limits: Limits,
        arm: Arm,
        public: bool = False,
        refused: Callable[[ImdError], None] = lambda error: None,
    ) -> None:
        """``random`` is from 0 to below 1, ``now_ms`` the date in ms since the epoch, ``arm`` makes what sends to many.
        ``public``: clients of other machines can reach it. ``refused`` is told when logic says that it must not serve."""
        # Long: one comet's wiring, a line a collaborator; nothing is decided here
        self._clock = clock
        self._now_ms = now_ms
        self._metrics = metrics
        self._limits = limits
        self._transports: dict[str, int] = {}  # transport -> connections
        self._timer: Timer | None = None  # the next look at deadlines; None = not started, or stopped
        self._look_at = 0.0  # clock seconds when it is due
        self._stopping = False
        work = Work(clock=clock)
        directory = Directory(buckets=limits.buckets, squad_size=limits.squad_size)
        interest = Interest(
            server=server, boot=boot, logic=logic, clock=clock, work=work, linger_seconds=limits.linger_seconds
        )
        departures = Departures(
            server=server,
            boot=boot,
            logic=logic,
            directory=directory,
            work=work,
            limit=limits.departures,
            reassert=self._check,
            kick=self._kick_channel,
        )
        follower = Follower(
            server=server,
            logic=logic,
            clock=clock,
            metrics=metrics,
            limits=limits,
            directory=directory,
            work=work,
        )
        self._fences = Fences()
        self._delivery = Delivery(
            directory=directory,
            clock=clock,
            metrics=metrics,
            limits=limits,
            kick=self._kick,
            follower=follower,
            now_ms=now_ms,
            process=f"comet/{server}",
            arm=arm,
        )
        self._attendance = Attendance(server=server, logic=logic, clock=clock, work=work, metrics=metrics)
        self._edge = Edge(
            server=server,
            boot=boot,
            limits=limits,
            clock=clock,
            metrics=metrics,
            logic=logic,
            make_key=make_key,
            random=random,
            directory=directory,
            interest=interest,
            departures=departures,
            follower=follower,
            membership=Membership(
                directory=directory,
                interest=interest,
                follower=follower,
                attendance=self._attendance,
                room_types=limits.room_types,
                inboxes_kept=limits.inboxes_kept,
            ),
            acks=Acks(server=server, logic=logic, clock=clock, work=work, metrics=metrics),
            renewal=Renewal(
                server=server,
                boot=boot,
                logic=logic,
                clock=clock,
                limits=limits,
                directory=directory,
                interest=interest,
                departures=departures,
                work=work,
                public=public,
                refused=refused,
                resent=follower.check_all,
            ),
            reservoir=Reservoir(clock=clock, metrics=metrics, limit_bytes=limits.outbox_bytes),
            admission=Admission(
                max_connections=limits.max_connections, max_per_address=limits.max_connections_per_address
            ),
            accept_sets=AcceptSets(),
            work=work,
            handshakes=IdleList(idle_seconds=limits.handshake_seconds),
            heartbeats=IdleList(idle_seconds=limits.idle_seconds),
            expiries=ExpiryList(),
            ended=self._ended,
        )
        self._show()

    @property
    def conn_count(self) -> int:
        """Connections, authenticated or not."""
        return self._edge.admission.conn_count

    @property
    def ip_count(self) -> int:
        """Distinct addresses among them."""
        return self._edge.admission.ip_count

    def start(self) -> None:
        """Begin to watch deadlines and to renew presence."""
        self._look_in(SWEEP_SECONDS)
        self._edge.renewal.start()
        self._edge.follower.start()

    async def stop(self) -> None:
        """End all sessions with SERVER_STOPPING; tell presence; wait for clients to take what was written.

        All that for ``stop_seconds`` at most. Then the lease is given back.
        """
        ends = self._clock.seconds() + self._limits.stop_seconds
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._edge.renewal.stop()
        self._delivery.stop()
        for session in (*self._edge.handshakes, *self._edge.heartbeats):
            session.close(CloseReason.SERVER_STOPPING)
        self._edge.follower.stop()  # after them: whoever waits for it would hear of a failure
        self._edge.acks.stop()
        self._attendance.stop()
        await self._edge.work.drain(self._limits.stop_seconds)
        while self.conn_count and self._clock.seconds() < ends:
            await self._edge.work.pause(GONE_SECONDS)
        await self._edge.renewal.leave()
        if len(self._edge.departures):
            self._log.warn("presence was not told of {count} ends", count=len(self._edge.departures))

    def trouble(self) -> str | None:
        """None while presence holds this comet's lease; else one sentence for ``/readyz``."""
        return self._edge.renewal.trouble()

    def accept(self, connection: Connection) -> Session | None:
        """A client connected: what its transport talks to. None = refused; counted and closed already, no ``lost`` follows."""
        if self._stopping:
            reason: CloseReason | None = CloseReason.SERVER_STOPPING
        else:
            reason = self._edge.admission.enter(connection.address)
        if reason is not None:
            self._metrics.closed.add(1, reason.label)
            connection.close(reason)
            return None
        self._metrics.accepted.add(1, connection.transport)
        self._connections(connection.transport, 1)
        return Session(connection=connection, edge=self._edge)

    async def push(self, request: Batch) -> Outcomes:
        """Deliver in order and say what became of each item.

        Raises :class:`BadRequest` for another server's or boot's batch, :class:`PeerUnavailable` while stopping,
        :class:`imd.errors.Overloaded` while too much waits, :class:`imd.errors.Fenced` when a newer owner of its partition
        was here: nothing was delivered then.
        """
        edge = self._edge
        if (request.server, request.boot) != (edge.server, edge.boot):
            raise BadRequest(f"this is {edge.server} boot {edge.boot}, not {request.server} boot {request.boot}")
        if self._stopping:
            raise PeerUnavailable("this comet is stopping")
        self._fences.check(request.partition, request.fence)
        outcomes = await self._delivery.deliver(request.items)
        self._metrics.items_told.add(len(outcomes.outcomes), request.sender, f"{edge.server}@{edge.boot}")
        return outcomes

    def _check(self, channel: Channel) -> None:
        """Somebody says that this channel may be another server's by now. A word can be late, so presence is asked."""
        self._edge.work.start(self._edge.renewal.check(channel))

    def _kick(self, key: str, code: int) -> bool:
        """Whether a channel has the key; one whose handshake is under way is kicked when it is in."""
        channel = self._edge.directory.find(key)
        if channel is None:
            self._edge.departures.kick(key, code)
            return False
        self._kick_channel(channel, code)
        return True

    def _kick_channel(self, channel: Channel, code: int) -> None:
        """logic wants it out for the close reason of this code; 0, or one that is newer than this code, is a word only."""
        reason = REASONS.get(code)
        if reason is None:
            self._check(channel)
        else:
            channel.close(reason)

    def _ended(self, session: Session) -> None:
        self._edge.admission.leave(session.address)
        self._connections(session.transport, -1)

    def _connections(self, transport: str, change: int) -> None:
        count = self._transports[transport] = self._transports.get(transport, 0) + change
        self._metrics.connections.set(count, transport)

    def _sweep(self) -> None:
        """End what is overdue and release what lingered; come back at once when there may be more."""
        edge = self._edge
        now = self._clock.seconds()
        stood_still = now - self._look_at > STANDSTILL_SECONDS
        # what clients sent while this process stood still is yet to be read: whether they are late, the next look says
        limit = 0 if stood_still else SWEEP_LIMIT
        late = edge.handshakes.due(now, limit)
        idle = edge.heartbeats.due(now, limit)
        expired = edge.expiries.due(self._now_ms(), SWEEP_LIMIT)
        for session in late:
            session.close(CloseReason.HANDSHAKE_TIMEOUT)
        for session in idle:
            session.close(CloseReason.HEARTBEAT_TIMEOUT)
        for session in expired:
            session.close(CloseReason.TOKEN_EXPIRED)
        released = edge.interest.sweep(now, SWEEP_LIMIT)
        if stood_still:
            edge.follower.check_all()
        more = SWEEP_LIMIT in (len(late), len(idle), len(expired), released)
        self._look_in(0 if more else SWEEP_SECONDS)

    def _look_in(self, seconds: float) -> None:
        self._look_at = self._clock.seconds() + seconds
        self._timer = self._clock.callLater(seconds, self._sweep)

    def _show(self) -> None:
        """Gauges read what is kept anyway."""
        edge = self._edge
        self._metrics.channels.read = edge.directory.__len__
        self._metrics.rooms.read = lambda: edge.directory.room_count
        self._metrics.outbox_packets.read = lambda: edge.reservoir.packets
        self._metrics.outbox_bytes.read = lambda: edge.reservoir.size_bytes
        self._metrics.outbox_oldest_seconds.read = lambda: edge.reservoir.oldest_seconds
