"""What logic has noted of traced pushes is written before it ends."""

from imd.logic.trace_notes import TraceNotes


class TraceNotesPart:
    """A :class:`imd.interfaces.Resource`: closed after everything that notes, before the store."""

    __slots__ = ("_notes",)

    def __init__(self, notes: TraceNotes) -> None:
        self._notes = notes

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Wait for what is on its way; every call of the store has its deadline."""
        await self._notes.close()

    def trouble(self) -> str | None:
        """Never one: pushes go on without their traces."""
        return None
