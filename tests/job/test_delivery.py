"""Promises of a delivery."""

from twisted.trial.unittest import SynchronousTestCase

from imd.job.delivery import Delivery
from imd.job.flight import Flight
from imd.protocol.push import Push, Target
from imd.protocol.timeline import Place


def delivery(push: Push, *places: Place) -> Delivery:
    """As the broker handed it out."""
    return Delivery(push, Flight([b"t"], 1), places)


class DeliveryTests(SynchronousTestCase):
    """What a push is, and which share of it a hop names."""

    def test_a_live_push(self) -> None:
        """Is in no timeline."""
        live = delivery(Push(1, 0, Target.ROOM, room="live://1"))
        self.assertEqual((live.kept, live.traced, live.share(0)), (False, False, ("", 0)))

    def test_a_kept_push_to_a_room(self) -> None:
        """Names the room's timeline."""
        kept = delivery(Push(1, 0, Target.ROOM, room="chat://1", keep_count=5, trace="00-"), Place(3, "e"))
        self.assertEqual((kept.kept, kept.traced, kept.share(0)), (True, True, ("r:chat://1", 3)))

    def test_a_kept_push_to_members(self) -> None:
        """Names the inbox of the member, or, for all of them, nothing."""
        kept = delivery(Push(1, 0, Target.MEMBERS, mids=(7, 8), keep_count=5), Place(3, "e"), Place(9, "e"))
        self.assertEqual((kept.share(0), kept.share(8)), (("", 0), ("m:8", 9)))
