"""What delivery sees of a connection."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.errors import CloseReason
from imd.protocol.wire import Wire
from tests.support.comet_fakes import FakeConnection, channel


class ChannelTests(SynchronousTestCase):
    """It hands on."""

    def test_offer_and_close(self) -> None:
        """A load goes to the connection, a close to the session."""
        connection = FakeConnection()
        member = channel(connection=connection)
        self.assertIsNone(member.offer(Load(Wire(b"x"), packets=1, policy=SlowPolicy.DISCONNECT)))
        member.close(CloseReason.REPLACED)
        session: Any = member.session
        self.assertEqual((connection.written, session.closes), (b"x", [CloseReason.REPLACED]))
        self.assertFalse(hasattr(member, "__dict__"))  # there are 100,000 of them
