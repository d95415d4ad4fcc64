"""A logic that lets everybody in and keeps nothing: what is measured is comet."""

from collections.abc import Mapping

from imd.protocol import rpc
from imd.protocol.rpc import Method
from imd.transport.rpc_server import Handler


async def connect(request: rpc.Connect) -> rpc.Connected:
    return rpc.Connected(request.key, request.mid, request.room, request.accepts)


async def disconnect(request: rpc.Disconnect) -> rpc.Done:
    return rpc.Done()


async def connect_many(request: rpc.ConnectMany) -> rpc.Verdicts:
    return rpc.Verdicts(tuple([rpc.Verdict(await connect(client)) for client in request.clients]))


async def disconnect_many(request: rpc.DisconnectMany) -> rpc.Done:
    return rpc.Done()


async def renew(request: rpc.Renew) -> rpc.Renewed:
    return rpc.Renewed(rooms=request.rooms)


async def host(request: rpc.Host) -> rpc.Done:
    return rpc.Done()


def handlers() -> Mapping[Method, Handler]:
    """What a comet asks for clients of version 1 that only listen."""
    return {
        Method.CONNECT: connect,
        Method.DISCONNECT: disconnect,
        Method.CONNECT_MANY: connect_many,
        Method.DISCONNECT_MANY: disconnect_many,
        Method.RENEW: renew,
        Method.HOST: host,
    }
