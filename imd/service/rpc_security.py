"""CURVE on this process's ZeroMQ links, where it is configured: who may dial us, and who we are when we dial."""

from typing import Any, NamedTuple

import zmq

from imd.config.settings import Rpc
from imd.transport.zmq_curve import CurveDialer, CurveGuard, load_allowed, load_keys


class RpcSecurity(NamedTuple):
    """None and None: plaintext."""

    guard: CurveGuard | None  # for what others dial
    dialer: CurveDialer | None  # for what we dial

    @property
    def public_key(self) -> str:
        """For the registry; empty = plaintext."""
        return self.guard.public_key if self.guard else ""

    async def open(self) -> None:
        """Before the first socket that it guards."""
        if self.guard:
            self.guard.open()

    async def close(self) -> None:
        """After the last one."""
        if self.guard:
            self.guard.close()

    def trouble(self) -> str | None:
        """None: keys do not go away."""
        return None


PLAINTEXT = RpcSecurity(None, None)


def rpc_security(settings: Rpc, *, context: zmq.Context[zmq.Socket[bytes]], reactor: Any) -> RpcSecurity:
    """Reads the key files. Raises :class:`imd.errors.ConfigError`."""
    if not settings.curve_secret_key_file:
        return PLAINTEXT
    keys = load_keys(settings.curve_secret_key_file)
    if not settings.curve_allowed_keys_file:
        return RpcSecurity(None, CurveDialer(keys))
    allowed = load_allowed(settings.curve_allowed_keys_file)
    return RpcSecurity(CurveGuard(context=context, reactor=reactor, keys=keys, allowed=allowed), CurveDialer(keys))
