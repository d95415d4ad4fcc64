"""A logic that lets everybody in and keeps nothing: what is measured is comet."""

from collections.abc import Mapping

from imd.protocol import rpc
from imd.protocol.rpc import Method
from imd.transport.rpc_server import Handler


async def connect(request: rpc.Connect) -> rpc.Connected:
    return rpc.Connected(request.key, request.mid, request.room, request.accepts)


async def disconnect(request: rpc.Disconnect) -> rpc.Done:
    return rpc.Done()


async def renew(request: rpc.Renew) -> rpc.Renewed:
    return rpc.Renewed(rooms=request.rooms)


async def host(request: rpc.Host) -> rpc.Done:
    return rpc.Done()


def handlers() -> Mapping[Method, Handler]:
    """What a comet asks for clients of version 1 that only listen."""
    return {Method.CONNECT: connect, Method.DISCONNECT: disconnect, Method.RENEW: renew, Method.HOST: host}
