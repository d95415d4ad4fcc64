"""From a role's command line to the service that twistd runs."""

import gc
import os
import sys
from collections.abc import Callable

from imd.config import Settings
from imd.errors import ConfigError
from imd.metrics import Metrics
from imd.service.daemon import Daemon, Part, mark_failed
from imd.service.file_limit import raise_file_limit
from imd.service.greeting import greeting
from imd.service.lifeline import Lifeline
from imd.service.notify import Notifier, is_supervised
from imd.service.options import Options
from imd.service.process import Process, bind, process
from imd.service.quick_poll import poll_quickly
from imd.service.steady_clock import use_steady_clock
from imd.service.stop_signal import StopSignal

Build = Callable[[Process], list[Part]]

# When a comet looks for cycles: after so many objects that were made and not freed. Python's own 700 are there after a few
# clients, who are in no cycle. Not later: a TLS client that goes without a close alert leaves one of 44 objects and 25 KB.
# Other roles keep Python's own: they take HTTP requests, whose cycles hold bodies.
COMET_CYCLES = 5_000


def launch(options: Options, build: Build) -> Daemon:
    """Opens the log and binds the role's addresses now, on the operator's terminal; everything else waits for the reactor.

    Exits with one line when one of them cannot be had.
    """
    from twisted.internet import reactor  # here, not above: importing it installs it

    use_steady_clock(reactor)
    poll_quickly(reactor)
    settings, role = options.settings, options.role
    try:
        observer = options.observer()
        sockets = bind(role, settings)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    metrics = Metrics()

    def parts(daemon: Daemon) -> list[Part]:
        warning = raise_file_limit(settings.comet.max_connections if role in ("imd", "comet") else 0)
        if warning:
            daemon.log.warn("{warning}", warning=warning)
        if role == "comet":
            gc.set_threshold(COMET_CYCLES, *gc.get_threshold()[1:])
        made = process(
            role,
            settings,
            sockets=sockets,
            reactor=reactor,
            metrics=metrics,
            troubles=daemon.troubles,
            fail=daemon.fail,
        )
        supervisor = [Part("supervisor", Lifeline(0, reactor=reactor))] if is_supervised(os.environ) else []
        return [Part("signals", StopSignal(reactor=reactor)), *supervisor, *build(made)]

    return Daemon(
        f"imd-{role}" if role != "imd" else "imd",
        reactor=reactor,
        metrics=metrics,
        build=parts,
        greet=lambda: greeting(role, settings, sockets, program=sys.argv[0]),
        notifier=Notifier(os.environ),
        mark_failed=mark_failed,
        observer=observer,
        close_seconds=close_seconds(settings),
    )


def close_seconds(settings: Settings) -> float:
    """How long the slowest part of a process may take to close."""
    return 5.0 + max(15.0, settings.comet.stop_seconds, settings.job.settle_seconds)
