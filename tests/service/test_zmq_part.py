"""The end of ZeroMQ in a process."""

import zmq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.service.zmq_part import ZmqPart


class ZmqPartTests(SynchronousTestCase):
    """With a socket that somebody forgot."""

    def test_close(self) -> None:
        """Everything of the context ends, though a message has nobody to go to."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        forgotten = context.socket(zmq.DEALER)
        forgotten.connect("tcp://127.0.0.1:1")
        forgotten.send(b"to nobody")
        part = ZmqPart(context)
        self.successResultOf(Deferred.fromCoroutine(part.open()))
        self.successResultOf(Deferred.fromCoroutine(part.close()))
        self.assertTrue(forgotten.closed)
        self.assertTrue(context.closed)
