"""Fences: which owner of a broker partition was here last."""

from imd.errors import Fenced


class Fences:
    """The highest fence of each partition. As many as the broker has partitions."""

    __slots__ = ("_highest",)

    def __init__(self) -> None:
        self._highest: dict[int, int] = {}  # partition -> the fence of its newest owner that was here

    def check(self, partition: int, fence: int) -> None:
        """Raises :class:`Fenced` when a newer owner of the partition was here; else this is the newest now. A negative
        partition is none: nothing is asked."""
        if partition < 0:
            return
        highest = self._highest.get(partition, 0)
        if fence < highest:
            raise Fenced(f"partition {partition} has a newer owner: its fence is {highest}, not {fence}")
        self._highest[partition] = fence
