"""A battery in plain Python: one loop of ``send`` over sockets."""

from collections.abc import Sequence
from itertools import repeat

from imd.interfaces import Sink


class SocketBattery:
    """An :class:`imd.interfaces.Battery`; the class itself is the ``Arm``. Its sinks are of one class.

    The loop is in C as far as Python lets it: between one ``send`` and the next the processor has lost the interpreter's
    trail, and each step of bytecode costs several times what it costs elsewhere.
    """

    __slots__ = ("_sinks",)

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def fire(self, data: bytes, /) -> list[tuple[int, int]]:
        """Send to each; answers the place of each that did not take all, and how many bytes it took."""
        sinks = self._sinks
        if not sinks:
            return []
        taken: list[int] = []
        sends = map(type(sinks[0]).send, sinks, repeat(data))  # looked up once for all
        while len(taken) < len(sinks):
            try:
                taken.extend(sends)
            except OSError:  # what came before it is taken down, and what follows it comes next
                taken.append(0)
        size = len(data)
        if taken.count(size) == len(taken):
            return []
        return [(place, sent) for place, sent in enumerate(taken) if sent != size]
