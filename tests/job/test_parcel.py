"""Promises of a parcel."""

from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Location
from imd.job.parcel import Parcel
from imd.protocol.rpc import Item, Kind


class ParcelTests(SynchronousTestCase):
    """What its loss costs."""

    def test_packets_lost_with_it(self) -> None:
        """A packet for each key; each merged packet of a room once; a kick is none."""
        for item, packets in (
            (Item(Kind.KEYS, b"p", keys=("a", "b")), 2),
            (Item(Kind.ROOM, b"ppp", 3, room="live://1"), 3),
            (Item(Kind.ALL, b"p"), 1),
            (Item(Kind.KICK, keys=("a",)), 0),
        ):
            self.assertEqual(Parcel(location=Location("a", 1), item=item, deliveries=()).packets, packets)
