"""Promises of the typed clients."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import CometClient, LogicClient
from imd.protocol import rpc
from imd.protocol.rpc import SIGNATURES, Method
from imd.transport.rpc_client import RpcCometClient, RpcLogicClient

REQUESTS: dict[Method, rpc.Value] = {
    Method.CONNECT: rpc.Connect("s", 1, "k"),
    Method.DISCONNECT: rpc.Disconnect("s", 1, "k"),
    Method.CONNECT_MANY: rpc.ConnectMany(()),
    Method.DISCONNECT_MANY: rpc.DisconnectMany("s", 1, ()),
    Method.RENEW: rpc.Renew("s", 1),
    Method.RECEIVE: rpc.Receive("s", "k", 1, 1000, b""),
    Method.HOST: rpc.Host("s", 1, "live://1"),
    Method.PUSH: rpc.Batch("s", 1, ()),
    Method.READ: rpc.Read("s", ()),
    Method.ACK: rpc.Acks("s", ()),
    Method.SEND: rpc.Send("s", "k", 1, 1000, b""),
    Method.REFRESH: rpc.Refresh("s", "k", 1, "token"),
    Method.ATTEND: rpc.Attendances("s", ()),
}


class Recorder:
    """A caller that answers with what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Method, rpc.Value]] = []

    async def call(self, method: Method, request: rpc.Value) -> rpc.Value:
        self.calls.append((method, request))
        return request


class ClientTests(SynchronousTestCase):
    """Every method of the wire has its function."""

    def test_each_function_calls_its_method(self) -> None:
        """The function's name is the method's; request and reply pass untouched."""
        recorder = Recorder()
        logic = RpcLogicClient(recorder)
        seam: LogicClient = logic
        comet: CometClient = RpcCometClient(recorder)
        self.assertIs(seam, logic)
        self.assertEqual(set(REQUESTS), set(SIGNATURES))
        for method, request in REQUESTS.items():
            function = getattr(comet if method is Method.PUSH else logic, method.value.decode())
            self.assertIs(self.successResultOf(Deferred.fromCoroutine(function(request))), request)
            self.assertEqual(recorder.calls[-1], (method, request))
