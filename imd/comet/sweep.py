"""Sweep: a broadcast at a set pace."""

from collections.abc import Callable, Iterator
from itertools import islice

from imd.comet.channel import Channel
from imd.comet.drop import Drop
from imd.comet.fanout import Fanout
from imd.comet.fate import Fate
from imd.comet.load import Load
from imd.comet.tally import Tally
from imd.interfaces import Clock, Timer

TICK_SECONDS = 0.1  # finer is not seen by anybody, and costs turns; a fast sweep needs it, to stay in small steps


class Sweep:
    """Offers a load to ``speed`` channels a second, in ticks of ``per_turn`` at most. A late tick is not caught up.

    Who connects meanwhile may get it too; who goes meanwhile is counted as left.
    """

    __slots__ = ("_channels", "_clock", "_done", "_fanout", "_left", "_owed", "_per_turn", "_speed", "_timer", "load")

    def __init__(
        self,
        *,
        load: Load,
        channels: Iterator[Channel],
        count: int,
        speed: int,
        per_turn: int,
        clock: Clock,
        fanout: Fanout,
        done: Callable[["Sweep", Tally, bool], None],
    ) -> None:
        self.load = load
        self._channels = channels
        self._left = count  # channels that were here at the start, less those that it came to: what was promised
        self._speed = speed  # channels a second
        self._per_turn = per_turn  # channels a tick, at most
        self._clock = clock
        self._fanout = fanout
        self._done = done  # called after each tick with what it did, and whether it was the last
        self._owed = 1.0  # channels that may get it now
        self._timer: Timer | None = None  # None = not begun, or over

    def tick(self) -> None:
        """Offer what is due and come back for the rest."""
        due = min(int(self._owed), self._per_turn)
        part = list(islice(self._channels, due))
        tally = Tally()
        self._fanout.spread(self.load, part, tally)
        self._left -= len(part)
        last = len(part) < due
        if last:
            self._gone(tally)
            self._timer = None
        else:
            pause = max(min(TICK_SECONDS, self._per_turn / self._speed), 1 / self._speed)
            self._owed += pause * self._speed - due
            self._timer = self._clock.callLater(pause, self.tick)
        self._done(self, tally, last)

    def stop(self) -> None:
        """Leave the rest: ``done`` hears of it as dropped."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            tally = Tally()
            tally.offered = max(0, self._left)
            if tally.offered:
                tally.add(Drop.STOPPED, tally.offered)
            self._done(self, tally, True)

    def _gone(self, tally: Tally) -> None:
        """Those to whom it was promised, and who were not there any more."""
        if self._left > 0:
            tally.offered += self._left
            tally.add(Fate.LEFT, self._left)
