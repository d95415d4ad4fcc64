from collections.abc import Sequence

from imd.interfaces import Sink

class Ring:
    """An io_uring. It belongs to the thread that opens it: for others, and in a forked child, batteries send without it."""

    def __init__(self) -> None: ...
    def open(self) -> bool:
        """Whether this thread can send through it; opens it when nobody has."""

    @property
    def trouble(self) -> str | None:
        """Why it cannot be used; None while it can, or nobody has tried."""

class Battery:
    """An :class:`imd.interfaces.Battery` that knows the sinks' descriptors, as they are now, and nothing else of them."""

    def __init__(self, sinks: Sequence[Sink], ring: Ring | None = None) -> None:
        """``ring``: sends through it where it can, else by ``send``. Raises what a ``fileno()`` raises, ``TypeError`` and
        ``ValueError`` for what is no descriptor."""

    def fire(self, data: bytes | bytearray | memoryview, /) -> list[tuple[int, int]]:
        """Send to each, without the interpreter's lock; ``data`` may not change meanwhile."""
