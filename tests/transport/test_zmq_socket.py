"""Promises of a ZeroMQ socket in the reactor."""

import zmq
from twisted.trial.unittest import TestCase

from imd.transport.zmq_socket import TURN_MESSAGES, ZmqSocket
from tests.support.rpc import pause, reactor, until


class ZmqSocketTests(TestCase):
    """Two sockets that face each other."""

    def setUp(self) -> None:
        """The near one is in the reactor."""
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.addCleanup(lambda: self.context.destroy(0))
        far, near = self.context.socket(zmq.PAIR), self.context.socket(zmq.PAIR)
        for socket in (far, near):
            socket.setsockopt(zmq.SNDHWM, 100_000)
            socket.setsockopt(zmq.RCVHWM, 100_000)
        far.bind("inproc://pair")
        near.connect("inproc://pair")
        self.far = far
        self.got: list[list[bytes]] = []
        self.socket = ZmqSocket(reactor=reactor, socket=near, received=self.received, name="test")
        self.addCleanup(self.socket.close)

    def received(self, parts: list[bytes]) -> None:
        """Keep it; do as it says."""
        self.got.append(parts)
        if parts == [b"close"]:
            self.socket.close()
        if parts == [b"fail"]:
            raise ZeroDivisionError
        if parts == [b"echo"]:
            self.socket.send([b"said"])

    async def test_a_burst_beyond_a_turn_arrives_whole(self) -> None:
        """One wake-up, many messages: none waits for the next wake-up, which would not come."""
        for number in range(TURN_MESSAGES * 3):
            self.far.send(b"%d" % number)
        await until(lambda: len(self.got) == TURN_MESSAGES * 3)
        self.assertEqual(self.got[-1], [b"%d" % (TURN_MESSAGES * 3 - 1)])

    async def test_a_turn_has_its_limit(self) -> None:
        """The reactor breathes between shares."""
        await pause()
        for number in range(TURN_MESSAGES + 1):
            self.far.send(b"%d" % number)
        self.socket.drain()
        self.assertEqual(len(self.got), TURN_MESSAGES)

    async def test_a_send_swallows_no_wake_up(self) -> None:
        """Ping-pong by sends from both sides, also from within ``received``, never sticks."""
        for _ in range(1000):
            self.socket.send([b"out"])
            self.far.send(b"echo")
        await until(lambda: len(self.got) == 1000)
        answers = 0
        while self.far.poll(0):
            answers += self.far.recv() == b"said"
        self.assertEqual(answers, 1000)

    async def test_nothing_comes_after_close(self) -> None:
        """Closing from within ``received`` ends it there and then."""
        for word in (b"one", b"close", b"two"):
            self.far.send(word)
        await until(lambda: len(self.got) == 2)
        await pause()
        self.assertEqual(self.got, [[b"one"], [b"close"]])
        self.assertEqual(self.socket.fileno(), -1)

    async def test_an_error_ends_one_message_only(self) -> None:
        """It is logged, the next message comes."""
        for word in (b"fail", b"next"):
            self.far.send(word)
        await until(lambda: len(self.got) == 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
