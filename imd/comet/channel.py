"""Channel: what delivery sees of an authenticated connection."""

from typing import TYPE_CHECKING

from imd.comet.drop import Drop
from imd.comet.load import Load
from imd.comet.outbox import Outbox
from imd.errors import CloseReason

if TYPE_CHECKING:
    from imd.comet.session import Session


class Channel:
    """One per authenticated connection; there are 100,000 of them."""

    __slots__ = ("accepts", "key", "mid", "outbox", "rooms", "session", "version")

    def __init__(
        self, *, session: "Session", outbox: Outbox, key: str, mid: int, accepts: frozenset[int], version: int
    ) -> None:
        self.session = session
        self.outbox = outbox
        self.key = key
        self.mid = mid  # 0 = anonymous
        # Operations of the key, member and broadcast pushes that it wants. Empty = none of them, as in goim; room
        # pushes are not asked.
        self.accepts = accepts
        self.version = version  # of its op 7: 1, or 2 for a client that wants more
        self.rooms: tuple[str, ...] = ()  # the directory enters and takes out; a version-1 client is in one at most

    def offer(self, load: Load) -> Drop | None:
        """Write or hold a push: None when done, else why not. See :meth:`imd.comet.outbox.Outbox.offer`."""
        return self.outbox.offer(load)

    def close(self, reason: CloseReason) -> None:
        """End the session."""
        self.session.close(reason)
