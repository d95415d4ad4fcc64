"""A load: what is offered to channels, one object for all its receivers."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from imd.comet.policy import SlowPolicy
from imd.protocol.wire import Wire

if TYPE_CHECKING:
    from imd.comet.edition import Edition
    from imd.comet.hops import Hops


class Load:
    """A wire, and what an outbox must know to hold or drop it. Never changed once it is offered."""

    __slots__ = ("_edit", "_edition", "hops", "newer_only", "operation", "packets", "policy", "room", "wire")

    def __init__(
        self,
        wire: Wire,
        *,
        packets: int,
        policy: SlowPolicy,
        room: str = "",
        operation: int | None = None,
        newer_only: bool = False,
        edit: "Callable[[], Edition] | None" = None,
        hops: "Hops | None" = None,
    ) -> None:
        self.wire = wire
        self.packets = packets  # how many packets are in the wire
        self.policy = policy
        self.room = room  # its source, for LATEST_ONLY; empty = no room
        self.operation = operation  # what accept sets are asked; None = not asked (rooms, as in goim)
        self.newer_only = newer_only  # version-1 channels cannot read it
        self.hops = hops  # what became of it for each channel is noted there; None = nobody asks
        self._edit = edit  # makes the edition; None = no version-2 channel is among the receivers
        self._edition: Edition | None = None  # None until a version-2 receiver asks

    @property
    def edition(self) -> "Edition":
        """The same for version-2 channels. Raises :class:`imd.errors.ProtocolError` when job sent what are no packets."""
        if self._edition is None:
            assert self._edit is not None
            self._edition = self._edit()
        return self._edition
