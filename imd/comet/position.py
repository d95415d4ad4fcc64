"""Position: where one client stands in one timeline."""

from enum import Enum


class Stage(Enum):
    """Whether kept pushes are written as they come."""

    OPENING = 1  # its first page is asked for, or waits for the reply that must go first
    LIVE = 2  # written as they come
    BEHIND = 3  # one came that is not the next: whoever found that says so to the catch-up
    READING = 4  # it is read for: waits for its turn, or for logic
    WAITING = 5  # it is read for once its outbox is empty


_LIVE = Stage.LIVE  # an attribute of an Enum is slow to reach, and every kept delivery asks for this one


class Position:
    """What was written to a version-2 channel, of one timeline. There are some for each of 100,000 channels."""

    __slots__ = ("doubt", "epoch", "head", "last", "stage")

    def __init__(self) -> None:
        self.stage = Stage.OPENING
        # Of ``last`` and ``head``; while OPENING that of the kept pushes which came, empty = none did
        self.epoch = ""
        self.last = 0  # seq of the last message that was offered to the outbox, or that the client had already
        self.head = 0  # the highest seq that is known to be in the timeline; only while it is not LIVE
        self.doubt = False  # since it was last asked for, a push of another epoch came: which is newer, a read tells

    def opened(self, last: int, head: int, epoch: str) -> None:
        """Its first page has come: the client has everything up to ``last``. Precondition: OPENING."""
        if self.epoch not in ("", epoch):
            self.doubt = True
            self.head = 0
        self.epoch = epoch
        self.last = last
        self.head = max(self.head, head)

    def follow(self, size: int, first: int, epoch: str) -> bool:
        """Move behind ``size`` kept pushes that begin with the seq ``first``, if they are just what is next and it is LIVE.
        False, and nothing done, when :meth:`take` must tell. Nearly always True: it is asked for every kept delivery."""
        if self.stage is not _LIVE or first != self.last + 1 or epoch != self.epoch:
            return False
        self.last += size
        return True

    def take(self, epoch: str, first: int, count: int) -> int:
        """Kept pushes with the seqs ``first``, ``first`` + 1, … have come, ``count`` of them. Answers how many of them, from
        the start, the client has already.

        The others are for the channel when the position is LIVE after the call, and it has moved behind them then. Else
        they are left to the timeline.
        """
        if epoch != self.epoch:
            self._other(epoch, first + count - 1)
            return 0
        had = min(max(self.last + 1 - first, 0), count)
        if had < count:
            if self.stage is _LIVE:
                if first <= self.last + 1:
                    self.last = first + count - 1
                    return had
                self.stage = Stage.BEHIND
            self.head = max(self.head, first + count - 1)
        return had

    def _other(self, epoch: str, head: int) -> None:
        if self.stage is Stage.OPENING and not self.epoch:
            self.epoch, self.head = epoch, head
            return
        self.doubt = True
        if self.stage is _LIVE:
            self.stage = Stage.BEHIND
