"""Which partitions are whose, when all agree on who there is."""

from collections.abc import Collection
from zlib import crc32


def share(members: Collection[str], member: str, partitions: int) -> frozenset[int]:
    """The partitions of ``member``: every member computes the same split from the same ``members``.

    Shares differ by one at most. Each partition goes to the member that ranks highest for it (rendezvous hashing) and still
    has room, so that few partitions move when a member comes or goes. Empty when ``member`` is not among ``members``.
    """
    names = sorted(members)
    if member not in names:
        return frozenset()
    least, larger = divmod(partitions, len(names))  # ``larger`` members have one more
    counts = dict.fromkeys(names, 0)
    mine = set()
    for partition in range(partitions):
        for name in sorted(names, key=lambda each: crc32(f"{partition}:{each}".encode()), reverse=True):
            if counts[name] < least or (counts[name] == least and larger):
                larger -= counts[name] == least
                counts[name] += 1
                if name == member:
                    mine.add(partition)
                break
    return frozenset(mine)
