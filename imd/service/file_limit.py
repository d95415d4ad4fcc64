"""How many files, and so connections, this process may have open."""

import resource

RESERVE = 200  # for what is no client: logs, peers, products, the reactor's own


def raise_file_limit(connections: int) -> str:
    """Raise the soft limit to the hard one; answers a warning when that is too few for ``connections``, else nothing."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= connections + RESERVE:
        return ""
    return (
        f"comet.max_connections = {connections}, but this process may open {hard} files: "
        f"raise its limit (LimitNOFILE, ulimit -Hn) or set comet.max_connections = {max(1, hard - RESERVE)}"
    )
