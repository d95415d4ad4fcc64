"""Fanout: one load to many channels. The loop that the product is about."""

from collections.abc import Collection

from twisted.logger import Logger

from imd.comet.channel import Channel
from imd.comet.drop import Drop
from imd.comet.load import Load
from imd.comet.tally import Tally
from imd.errors import CloseReason

ENDS = {Drop.SLOW_CONSUMER: CloseReason.SLOW_CONSUMER, Drop.FAULT: CloseReason.INTERNAL_ERROR}


class Fanout:
    """Offers a load to channels and counts; sessions that must end for it do so after the loop, not in it."""

    _log = Logger()

    __slots__ = ()

    def spread(self, load: Load, channels: Collection[Channel], tally: Tally) -> None:
        """Never raises: a channel that does is closed, and the others get theirs.

        Channels that left the load's room since they were listed are no receivers any more.
        """
        operation, room = load.operation, load.room
        delivered = filtered = left = 0
        ending: list[tuple[Channel, Drop]] = []
        for channel in channels:
            if operation is None:
                if room not in channel.rooms:
                    left += 1
                    continue
            elif operation not in channel.accepts:
                filtered += 1
                continue
            try:
                drop = channel.offer(load)
            except Exception:  # whatever is wrong with one connection, the next ones get theirs
                self._log.failure("writing to {key} failed", key=channel.key)
                drop = Drop.FAULT
            if drop is None:
                delivered += 1
            else:
                tally.drop(drop)
                if drop in ENDS:
                    ending.append((channel, drop))
        tally.delivered += delivered
        tally.filtered += filtered
        tally.left += left
        tally.offered += len(channels)
        for channel, drop in ending:
            self._end(channel, ENDS[drop])

    def _end(self, channel: Channel, reason: CloseReason) -> None:
        try:
            channel.close(reason)
        except Exception:  # as above: the next ones must be closed too
            self._log.failure("closing {key} failed", key=channel.key)
