"""Channel: what delivery sees of an authenticated connection."""

from typing import TYPE_CHECKING

from imd.comet.drop import Drop
from imd.comet.edition import replay
from imd.comet.outbox import Outbox
from imd.comet.position import Position
from imd.errors import CloseReason
from imd.protocol.push_header import VERSION
from imd.protocol.rpc import Page

if TYPE_CHECKING:
    from imd.comet.session import Session


class Channel:
    """One per authenticated connection; there are 100,000 of them."""

    __slots__ = ("accepts", "device", "key", "mid", "outbox", "positions", "session")

    def __init__(
        self,
        *,
        session: "Session",
        outbox: Outbox,
        key: str,
        mid: int,
        accepts: frozenset[int],
        version: int,
        device: str = "",
    ) -> None:
        """``version`` of its op 7: 1, or 2 for a client that wants more."""
        self.session = session
        self.outbox = outbox
        self.key = key
        self.mid = mid  # 0 = anonymous
        # Operations of the key, member and broadcast pushes that it wants. Empty = none of them, as in goim; room
        # pushes are not asked.
        self.accepts = accepts
        self.device = device or key  # what the client calls itself
        # Timeline -> where it stands there, of those that it follows: :class:`imd.comet.follower.Follower` enters and takes
        # out. None = it reads version 1, and follows none.
        self.positions: dict[str, Position] | None = {} if version == VERSION else None

    @property
    def rooms(self) -> tuple[str, ...]:
        """Where it is a member: the directory enters it and takes it out. A version-1 client is in one at most."""
        return tuple([squad.room for squad in self.outbox.squads])

    def replay(self, page: Page) -> Drop | None:
        """Write or hold the page's messages, whatever was written before: None when done, else why not. See
        :meth:`imd.comet.outbox.Outbox.offer`."""
        return self.outbox.replay(replay(page)) if page.messages else None

    def close(self, reason: CloseReason) -> None:
        """End the session."""
        self.session.close(reason)
