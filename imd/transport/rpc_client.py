"""The seams of logic and comet, spoken over RPC."""

from typing import Protocol, cast

from imd.protocol import rpc
from imd.protocol.rpc import Method


class Caller(Protocol):
    """A link, or several that stand for one."""

    async def call(self, method: Method, request: rpc.Value) -> rpc.Value:
        """The reply, of the method's reply type. Raises as :meth:`imd.transport.rpc_link.Link.call` does."""


class RpcLogicClient:
    """:class:`imd.interfaces.LogicClient` over ``caller``."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def connect(self, request: rpc.Connect) -> rpc.Connected:
        return cast(rpc.Connected, await self._caller.call(Method.CONNECT, request))

    async def disconnect(self, request: rpc.Disconnect) -> rpc.Done:
        return cast(rpc.Done, await self._caller.call(Method.DISCONNECT, request))

    async def connect_many(self, request: rpc.ConnectMany) -> rpc.Verdicts:
        return cast(rpc.Verdicts, await self._caller.call(Method.CONNECT_MANY, request))

    async def disconnect_many(self, request: rpc.DisconnectMany) -> rpc.Done:
        return cast(rpc.Done, await self._caller.call(Method.DISCONNECT_MANY, request))

    async def renew(self, request: rpc.Renew) -> rpc.Renewed:
        return cast(rpc.Renewed, await self._caller.call(Method.RENEW, request))

    async def receive(self, request: rpc.Receive) -> rpc.Done:
        return cast(rpc.Done, await self._caller.call(Method.RECEIVE, request))

    async def host(self, request: rpc.Host) -> rpc.Done:
        return cast(rpc.Done, await self._caller.call(Method.HOST, request))

    async def read(self, request: rpc.Read) -> rpc.Pages:
        return cast(rpc.Pages, await self._caller.call(Method.READ, request))

    async def ack(self, request: rpc.Acks) -> rpc.Done:
        return cast(rpc.Done, await self._caller.call(Method.ACK, request))

    async def send(self, request: rpc.Send) -> rpc.Sent:
        return cast(rpc.Sent, await self._caller.call(Method.SEND, request))

    async def refresh(self, request: rpc.Refresh) -> rpc.Refreshed:
        return cast(rpc.Refreshed, await self._caller.call(Method.REFRESH, request))

    async def attend(self, request: rpc.Attendances) -> rpc.Done:
        return cast(rpc.Done, await self._caller.call(Method.ATTEND, request))


class RpcCometClient:
    """:class:`imd.interfaces.CometClient` over ``caller``."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def push(self, request: rpc.Batch) -> rpc.Outcomes:
        return cast(rpc.Outcomes, await self._caller.call(Method.PUSH, request))
