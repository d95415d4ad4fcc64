"""How many files, and so connections, this process may have open."""

import resource
from collections.abc import Callable

RESERVE = 200  # for what is no client: logs, peers, products, the reactor's own
_NOFILE = resource.RLIMIT_NOFILE


def raise_file_limit(
    connections: int,
    *,
    get: Callable[[int], tuple[int, int]] = resource.getrlimit,
    set: Callable[[int, tuple[int, int]], None] = resource.setrlimit,
) -> str:
    """Raise the soft limit as far as it goes; answers a warning when that is too few for ``connections``, else nothing."""
    soft, hard = get(_NOFILE)
    for wanted in (hard, max(soft, connections + RESERVE)):  # some containers say "unlimited", and refuse just that
        try:
            set(_NOFILE, (wanted, hard))
            break
        except (ValueError, OSError):
            continue
    soft, _ = get(_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= connections + RESERVE:
        return ""
    return (
        f"comet.max_connections = {connections}, but this process may open {soft} files: "
        f"raise its limit (LimitNOFILE, ulimit -Hn) or set comet.max_connections = {max(1, soft - RESERVE)}"
    )
