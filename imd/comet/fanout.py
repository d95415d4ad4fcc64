"""Fanout: one load to many channels. The loop that the product is about."""

from collections.abc import Callable, Collection, Sequence

from twisted.logger import Logger

from imd.comet.channel import Channel
from imd.comet.drop import Drop
from imd.comet.edition import Edition, Run
from imd.comet.fate import Fate
from imd.comet.load import Load
from imd.comet.position import Position, Stage
from imd.comet.rank import Rank
from imd.comet.squad import Squad
from imd.comet.tally import Tally
from imd.errors import CloseReason, ProtocolError
from imd.interfaces import Arm
from imd.protocol.timeline import inbox_timeline

ENDS = {Drop.SLOW_CONSUMER: CloseReason.SLOW_CONSUMER, Drop.FAULT: CloseReason.INTERNAL_ERROR}

Ending = list[tuple[Channel, Drop]]  # sessions that end after the loop


class Fanout:
    """Offers a load to channels and counts; sessions that must end for it do so after the loop, not in it."""

    _log = Logger()

    __slots__ = ("_arm", "_behind")

    def __init__(self, *, behind: Callable[[Channel, str, Position], None], arm: Arm) -> None:
        """``behind`` is told which channel lacks something of which timeline: its position there is BEHIND."""
        self._behind = behind
        self._arm = arm

    def spread(self, load: Load, channels: Collection[Channel], tally: Tally) -> None:
        """To channels, of those that want it. Never raises: a channel that does is closed, and the others get theirs."""
        tally.offered += len(channels)
        ending: Ending = []
        if load.hops is not None:
            self._traced(load, channels, tally, ending)
        else:
            self._spread(load, channels, tally, ending)
        if ending:
            self._end_all(ending)

    def hand(self, load: Load, channel: Channel) -> Drop | None:
        """To one that wants it, of version 1; None when done, else why not. Never raises."""
        ending: Ending = []
        drop = self._give(channel, load, ending)
        if ending:
            self._end_all(ending)
        return drop

    def spread_squad(self, load: Load, squad: Squad, tally: Tally) -> None:
        """To the members of a room, who are not asked whether they want it. Never raises, as above."""
        tally.offered += len(squad)
        ending: Ending = []
        if load.hops is not None:
            self._traced(load, tuple(squad.members), tally, ending)
        else:
            older, _ = squad.ranks(self._arm)
            if load.newer_only:
                tally.add(Fate.FILTERED, len(older))
            else:
                self._fire(load, older, tally, ending)
            _, newer = squad.ranks(self._arm)  # again: whoever did not take all of it has stirred them
            if newer:
                self._fire_newer(load, newer, tally, ending)
        if ending:
            self._end_all(ending)

    def _fire(self, load: Load, rank: Rank, tally: Tally, ending: Ending) -> None:
        """Straight to the sockets of those that are ready; to the others one by one."""
        ready = rank.ready
        faults = 0
        for channel, rest in rank.fire(load):
            faults += not self._finish(channel, rest, ending)
        tally.add(Fate.DELIVERED, ready - faults)
        if faults:
            tally.add(Drop.FAULT, faults)
        for channel in rank.others:
            tally.add(self._give(channel, load, ending) or Fate.DELIVERED)

    def _fire_newer(self, load: Load, rank: Rank, tally: Tally, ending: Ending) -> None:
        """Version-2 members: all get the same, unless it is kept."""
        edition = self._edition(load, len(rank), tally)
        if edition is None:
            return
        if edition.runs:
            self._spread_newer(load, edition, rank.channels, tally, ending)
        else:
            self._fire(edition.live(), rank, tally, ending)

    def _edition(self, load: Load, channels: int, tally: Tally) -> Edition | None:
        """For so many version-2 channels; None when there is none for them."""
        try:
            return load.edition
        except ProtocolError:
            self._log.failure("job sent what are no packets")
            tally.add(Drop.FAULT, channels)
            return None

    def _spread(self, load: Load, channels: Collection[Channel], tally: Tally, ending: Ending) -> None:
        """Version-1 channels here, the newer ones after them."""
        operation, newer_only = load.operation, load.newer_only
        filtered = 0
        receivers: list[Channel] = []
        newer: list[Channel] = []
        for channel in channels:
            if channel.positions is not None:
                newer.append(channel)
            elif newer_only or (operation is not None and operation not in channel.accepts):
                filtered += 1
            else:
                receivers.append(channel)
        self._offer(load, receivers, tally, ending)
        tally.add(Fate.FILTERED, filtered)
        edition = self._edition(load, len(newer), tally) if newer else None
        if edition is not None:
            self._spread_newer(load, edition, newer, tally, ending)

    def _spread_newer(
        self, load: Load, edition: Edition, channels: Collection[Channel], tally: Tally, ending: Ending
    ) -> None:
        """Version-2 channels: those that follow the timeline of a kept load get what is next for them, and no gap."""
        operation = load.operation
        filtered = 0
        receivers: dict[Load, list[Channel]] = {}  # one load, but for inboxes
        for channel in channels:
            positions = channel.positions
            assert positions is not None
            if operation is None:
                timeline, runs = edition.timeline, edition.runs
            else:
                timeline, runs = self._inbox(channel, edition)
            position = positions.get(timeline) if runs else None
            if position is not None:
                if len(runs) == 1 and position.follow(runs[0].size, runs[0].first, runs[0].epoch):
                    edited = edition.kept(runs[0])
                else:
                    self._give_kept(load, channel, timeline, position, runs, tally, ending)
                    continue
            elif operation is not None and operation not in channel.accepts:
                filtered += 1
                continue
            else:
                edited = edition.live()
            receivers.setdefault(edited, []).append(channel)
        for edited, group in receivers.items():
            self._offer(edited, group, tally, ending)
        tally.add(Fate.FILTERED, filtered)

    def _offer(self, load: Load, channels: Sequence[Channel], tally: Tally, ending: Ending) -> None:
        """To channels that have been chosen one by one."""
        if len(channels) == 1:  # most pushes to a member are of this kind
            tally.add(self._give(channels[0], load, ending) or Fate.DELIVERED)
        elif channels:
            rank = Rank(channels, arm=self._arm)
            self._fire(load, rank, tally, ending)
            rank.dissolve()

    def _finish(self, channel: Channel, rest: bytes, ending: Ending) -> bool:
        """Leave the rest to the transport; False when that raises."""
        try:
            channel.outbox.finish(rest)
        except Exception:  # whatever is wrong with one connection, the next ones get theirs
            ending.append((channel, self._fault(channel)))
            return False
        return True

    def _inbox(self, channel: Channel, edition: Edition) -> tuple[str, tuple[Run, ...]]:
        """Where the packet stands in the inbox of the channel's member; no run when it is live."""
        place = edition.inbox(channel.key)
        return (inbox_timeline(channel.mid), (Run(0, 1, place.seq, place.epoch),)) if place else ("", ())

    def _give_kept(
        self,
        load: Load,
        channel: Channel,
        timeline: str,
        position: Position,
        runs: Sequence[Run],
        tally: Tally,
        ending: Ending,
    ) -> None:
        """A channel for which a kept load is not just what is next."""
        for run in runs:
            had = position.take(run.epoch, run.first, run.size)
            middle, stop = run.start + had, run.start + run.size
            parts: list[tuple[Fate | Drop, int, int]] = []
            if had:
                parts.append((Fate.DUPLICATE, run.start, middle))
            if middle < stop:
                fate: Fate | Drop = Fate.DEFERRED
                if position.stage is Stage.LIVE:
                    fate = self._give(channel, load.edition.kept(run, had), ending) or Fate.DELIVERED
                parts.append((fate, middle, stop))
            for fate, first, behind in parts:
                if behind - first == load.packets:
                    tally.add(fate)
                else:
                    tally.add_part(fate, first, behind)
        if position.stage is Stage.BEHIND:
            self._behind(channel, timeline, position)

    def _give(self, channel: Channel, load: Load, ending: Ending) -> Drop | None:
        try:
            drop = channel.outbox.offer(load)
        except Exception:  # whatever is wrong with one connection, the next ones get theirs
            drop = self._fault(channel)
        if drop is not None and drop in ENDS:
            ending.append((channel, drop))
        return drop

    def _traced(self, load: Load, channels: Collection[Channel], tally: Tally, ending: Ending) -> None:
        """One by one, with a note of what became of each. Slow, for the few loads that are traced: each is one packet."""
        assert load.hops is not None
        for channel in channels:
            alone = Tally()
            held = not channel.outbox.idle
            self._spread(load, (channel,), alone, ending)
            fates: list[Fate | Drop] = [*alone.fates, *alone.drops]
            for fate in fates:
                tally.add(fate)
                load.hops.note(channel, fate, held=held)

    def _fault(self, channel: Channel) -> Drop:
        self._log.failure("writing to {key} failed", key=channel.key)
        return Drop.FAULT

    def _end_all(self, ending: Ending) -> None:
        for channel, drop in ending:
            try:
                channel.close(ENDS[drop])
            except Exception:  # as above: the next ones must be closed too
                self._log.failure("closing {key} failed", key=channel.key)
