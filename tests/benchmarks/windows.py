"""Windows as they come from a quiet machine."""

from dataclasses import replace
from typing import Any

from benchmarks.load_client import Counted
from benchmarks.measurement import Window

GOOD = Window(
    connections=100,
    rate=0,
    merged=1,
    asked_seconds=2,
    messages=5_000,
    waited=0,
    seconds=2,
    server_seconds=1.95,
    clients_seconds=1,
    clients_cores=1,
    others_on_server_core=0.02,
    others_on_clients_core=0.02,
    counted=Counted(500_000, 500_000, 5_000, 5_000, 0, p50_ms=2, p99_ms=4, p999_ms=5, max_ms=6),
)


def window(**changes: Any) -> Window:
    """``GOOD`` with some of it different; what is ``Counted``'s goes there."""
    counted = {name: changes.pop(name) for name in list(changes) if hasattr(GOOD.counted, name)}
    return replace(GOOD, counted=replace(GOOD.counted, **counted), **changes)
