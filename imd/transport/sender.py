"""What sends the same bytes to very many sockets: the best that was built here and that this kernel allows."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from imd.errors import ConfigError
from imd.interfaces import Arm
from imd.transport.battery import SocketBattery

NOT_BUILT = (
    "the C extension was not built; install a C compiler and Python's headers (Debian, Ubuntu: apt install gcc python3-dev), "
    "then imd once more"
)
NO_RING = (
    "the kernel gives this process no io_uring ({trouble}); it takes Linux 6.1, sysctl kernel.io_uring_disabled=0, a "
    "container profile that allows io_uring_setup and io_uring_enter, and 64 KiB of the user's locked memory (ulimit -l)"
)


class Sender(NamedTuple):
    """One of them."""

    name: str  # "io_uring", "send" (in C) or "python", as in comet.sender
    arm: Arm
    lacks: str = ""  # why it is not a better one, and what to do; empty = none better was wanted
    ring: Any = None  # of all its batteries: once it has a ``trouble``, they go on by send


def extension() -> Any:
    """The module in C. Raises ``ImportError`` where it was not built."""
    return import_module("imd.transport._battery")


def sender(wanted: str, *, load: Callable[[], Any] = extension) -> Sender:
    """``wanted``: the name of one, or "auto" for the best that works.

    Called after the fork, by the thread that will send: a ring belongs to it. Raises :class:`imd.errors.ConfigError` when the
    one that is wanted is not to be had. ``load`` imports the extension.
    """
    best = _best(wanted, load)
    if wanted not in ("auto", best.name):
        raise ConfigError(f'comet.sender = "{wanted}": {best.lacks}; or set comet.sender = "auto"')
    return best


def _best(wanted: str, load: Callable[[], Any]) -> Sender:
    """The best up to ``wanted``."""
    if wanted == "python":
        return Sender("python", SocketBattery)
    try:
        native = load()
    except ImportError:
        return Sender("python", SocketBattery, NOT_BUILT)
    if wanted == "send":
        return Sender("send", native.Battery)
    ring = native.Ring()
    if not ring.open():
        return Sender("send", native.Battery, NO_RING.format(trouble=ring.trouble))
    return Sender("io_uring", partial(native.Battery, ring=ring), ring=ring)
