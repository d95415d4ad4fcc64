"""The stamp on a batch: whose it is."""

from typing import NamedTuple

from imd.interfaces import Location


class Stamp(NamedTuple):
    """What one ownership of a partition puts on all its batches."""

    partition: int
    fence: int  # rises from owner to owner: a comet that has seen a higher one refuses the batch
    sender: str  # the start of this job, as :func:`name_of` spells it


def name_of(location: Location) -> str:
    """One start of one process, as counters and batches name it."""
    return f"{location.server}@{location.boot}"
