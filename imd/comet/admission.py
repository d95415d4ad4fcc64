"""Admission: how many connections there may be, in all and from one address."""

from imd.errors import CloseReason


class Admission:
    """Counts connections from accept to loss."""

    __slots__ = ("_addresses", "_max_connections", "_max_per_address", "conn_count")

    def __init__(self, *, max_connections: int, max_per_address: int) -> None:
        assert max_connections > 0 and max_per_address > 0, "zero is no limit"
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._addresses: dict[str, int] = {}  # address -> connections, never 0
        self.conn_count = 0

    @property
    def ip_count(self) -> int:
        """Distinct addresses."""
        return len(self._addresses)

    def enter(self, address: str) -> CloseReason | None:
        """None when the connection is in, and must :meth:`leave` once; else why it may not."""
        if self.conn_count >= self._max_connections:
            return CloseReason.SERVER_FULL
        count = self._addresses.get(address, 0)
        if count >= self._max_per_address:
            return CloseReason.ADDRESS_LIMIT
        self._addresses[address] = count + 1
        self.conn_count += 1
        return None

    def leave(self, address: str) -> None:
        """A connection that was in is gone."""
        self.conn_count -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]
