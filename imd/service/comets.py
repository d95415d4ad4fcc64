"""twistd's `imd-comet --processes N`: comets that share the clients' ports, a process each, and who watches over them."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from imd.config.address import parse_address
from imd.errors import ConfigError, ImdError
from imd.metrics import Metrics
from imd.service.bound_socket import BoundSocket
from imd.service.child import Child
from imd.service.children import Children
from imd.service.cores import pin
from imd.service.daemon import Daemon, Part, mark_failed
from imd.service.greeting import greeting
from imd.service.launch import close_seconds
from imd.service.notify import Notifier
from imd.service.options import Options
from imd.service.order import Order, environment, load_as, order
from imd.service.process import admin_parts, bind, now_ms
from imd.service.steady_clock import use_steady_clock
from imd.service.stop_signal import StopSignal

SILENT_SECONDS = 30  # without a sign of life, then a comet is killed; unless systemd's watchdog says otherwise


def supervise(options: Options, count: int, *, cores: Sequence[int] = ()) -> Daemon:
    """A service that runs ``count`` comets, kept on these cores in turn if there are any. As
    :func:`imd.service.launch.launch`, what can be found out before the fork is found out then.

    The clients' addresses are taken here for as long as we live, so that port 0 is one port for all, and nobody else's while
    a comet is away. Nobody listens on ours: the kernel deals connections out among those who do.
    """
    from twisted.internet import reactor  # here, not above: importing it installs it

    use_steady_clock(reactor)
    options.sets.append("comet.reuse_port=true")
    try:
        settings = load_as(options, [])
        observer = options.observer()
        sockets = bind("comet", settings)
        orders = [order(options, settings, sockets, number) for number in range(1, count + 1)]
        for each in orders:
            _try(each.settings.admin.listen)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    metrics, notifier = Metrics(), Notifier(os.environ)
    stop_seconds = close_seconds(settings)

    def parts(daemon: Daemon) -> list[Part]:
        metrics.start_time_seconds.set(now_ms() / 1000)
        children = _children(
            orders,
            cores=cores,
            reactor=reactor,
            metrics=metrics,
            failed=_once(daemon.fail),
            stop_seconds=stop_seconds,
            silent_seconds=round(2 * notifier.watchdog_seconds) or SILENT_SECONDS,
        )
        return [
            Part("signals", StopSignal(reactor=reactor)),
            *admin_parts(sockets, reactor=reactor, metrics=metrics, troubles=daemon.troubles),
            *(Part(child.name, child) for child in children),
            Part("comets", Children(children, clock=daemon.reactor, metrics=metrics)),
        ]

    return Daemon(
        "imd-comet",
        reactor=reactor,
        metrics=metrics,
        build=parts,
        greet=lambda: "\n".join([greeting("comet", settings, sockets), *map(_line, orders)]),
        notifier=notifier,
        mark_failed=mark_failed,
        observer=observer,
        close_seconds=5.0 + stop_seconds,  # those who do not stop are killed before
    )


def _children(orders: Sequence[Order], *, cores: Sequence[int], **shared: Any) -> list[Child]:
    pins = [_pin_to(cores[number % len(cores)]) if cores else _leave for number in range(len(orders))]
    environ = environment(os.environ)
    return [
        Child(each.name, command=each.command, environ=environ, pin=keep, **shared)
        for each, keep in zip(orders, pins, strict=True)
    ]


def _pin_to(core: int) -> Callable[[int], None]:
    return lambda pid: pin(pid, core)


def _leave(pid: int) -> None:
    """Where the scheduler likes it best."""


def _try(listen: str) -> None:
    """Whether a comet can have its operator's address. Raises :class:`ConfigError`."""
    if listen and not parse_address(listen).path:
        BoundSocket("admin.listen", listen).socket.close()


def _line(each: Order) -> str:
    """Of the greeting: who it is, and where its figures are. One that took a free port says itself which."""
    listen = each.settings.admin.listen
    return f"  {each.name:<19} " + (listen if listen.startswith("unix:") or not listen else f"http://{listen}/metrics")


def _once(fail: Callable[[ImdError], None]) -> Callable[[ImdError], None]:
    """What keeps one from starting mostly keeps all of them: it is said once."""
    said = False

    def failed(error: ImdError) -> None:
        nonlocal said
        if not said:
            said = True
            fail(error)

    return failed
