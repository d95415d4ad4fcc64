"""An RPC server as a part of a process."""

from imd.transport.rpc_server import RpcServer


class RpcPart:
    """Opens and closes where the daemon says."""

    def __init__(self, server: RpcServer) -> None:
        self._server = server

    async def open(self) -> None:
        """Bind and answer. Raises :class:`imd.errors.ConfigError` when the endpoint cannot be had."""
        self._server.open()

    async def close(self) -> None:
        """Let what runs end."""
        await self._server.close()

    def trouble(self) -> str | None:
        """None: it answers from open to close."""
        return None
