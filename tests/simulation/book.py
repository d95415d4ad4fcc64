"""A book: what one device has of one timeline, for the judge."""


class Book:
    """A chapter begins where nothing before was asked for, or was told to be lost; within it seqs have no hole."""

    __slots__ = ("began_at", "epoch", "handled", "last")

    def __init__(self) -> None:
        self.epoch = ""
        self.last = 0  # everything up to it is handled
        self.began_at = 0.0  # the chapter: what was appended later is wanted
        self.handled: dict[int, bytes] = {}  # seq -> body, of this chapter

    def begin(self, epoch: str, seq: int, now: float) -> None:
        """A new chapter: the application reloads what it shows, and goes on from here."""
        self.epoch = epoch
        self.last = seq
        self.began_at = now
        self.handled = {}

    def handle(self, seq: int, body: bytes) -> None:
        """The next message."""
        assert seq == self.last + 1
        self.last = seq
        self.handled[seq] = body

    def forget(self, count: int) -> None:
        """The device lost what it had handled last."""
        for seq in range(self.last, self.last - count, -1):
            if self.handled.pop(seq, None) is None:
                break
            self.last = seq - 1

    def contradicts(self, seq: int, body: bytes) -> bool:
        """Whether it has another message there."""
        return self.handled.get(seq, body) != body
