"""Settings of a job: how much it takes on, how long it waits."""

from msgspec import Struct


class JobSettings(Struct, frozen=True):
    """The defaults suit a broker and comets in one data centre."""

    read_limit: int = 256  # entries taken off a partition at a time, and merged within
    read_wait_seconds: float = 5.0  # how long a read waits for the first of them
    window: int = 8  # reads of a partition whose outcome is not known; beyond, reading waits
    retry_min_seconds: float = 0.05  # the first pause before another try; doubles
    retry_max_seconds: float = 1.0
    patience_seconds: float = 2.0  # how long parcels wait for a comet that is not connected, before they are given up
    overload_seconds: float = 5.0  # how long a comet that says overloaded is tried again
    # pauses before looking where the clients of a lost comet went
    look_again_seconds: tuple[float, ...] = (0.25, 0.5, 1.0)
    settle_seconds: float = 10.0  # how long a partition that is given up waits for what is under way
    fenced_seconds: float = 1.0  # before a partition that a newer owner was heard of is begun again: is it still ours?
    backlog_seconds: float = 5.0  # between two looks at what the broker and the timelines have counted
    sweep_seconds: float = 5.0  # between two sweeps of a partition's timelines; while there is more, at once
    sweep_timelines: int = 200  # in one call
