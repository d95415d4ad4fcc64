"""A parcel: one item for one comet, and whose it is."""

from collections.abc import Mapping, Sequence

from imd.interfaces import Location
from imd.job.delivery import Delivery
from imd.protocol import rpc

NO_MEMBERS: Mapping[str, int] = {}
_KEYS = rpc.Kind.KEYS  # looking it up in its enum costs as much as all else here


class Parcel:
    """What a lane carries. Several deliveries share one when pushes to a room were merged."""

    __slots__ = ("deliveries", "item", "left", "location", "looks", "mids", "packets")

    def __init__(
        self,
        *,
        location: Location,
        item: rpc.Item,
        deliveries: Sequence[Delivery],
        mids: Mapping[str, int] = NO_MEMBERS,
        looks: int = 0,
    ) -> None:
        self.location = location  # the one start of the one comet that it is for
        self.item = item
        self.deliveries = deliveries
        self.mids = mids  # MEMBERS: whose each key is; empty for other targets
        self.looks = looks  # how often its keys were looked up again
        self.packets = _packets(item)  # what is counted for it
        self.left = self.packets  # of them, those whose outcome is not counted yet

    @property
    def kept(self) -> bool:
        """Who does not get it now finds it in the timeline."""
        return bool(self.item.places)


def _packets(item: rpc.Item) -> int:
    """Packets, times keys where there are some. A kick is no packet."""
    if item.kind is _KEYS:
        return item.count * len(item.keys)
    return 0 if item.kind is rpc.Kind.KICK else item.count
