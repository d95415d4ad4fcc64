"""A session that notes what its transport tells it."""

from imd.errors import CloseReason
from imd.interfaces import Connection
from imd.protocol.packet import Packet


class RecordingSession:
    """Ends its connection when it fails, as comet's does."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.packets: list[Packet] = []
        self.failures: list[tuple[CloseReason, str]] = []
        self.losses: list[CloseReason] = []
        self.writing: list[str] = []  # "pause", "resume"
        self.close_after = 0  # close on the nth packet; 0 = never
        self.frames = 0  # that are no packets
        self.frames_allowed = 1_000_000

    def packet_received(self, packet: Packet) -> None:
        assert not self.losses, "a packet after the loss"
        self.packets.append(packet)
        if packet.operation == RAISE:
            raise ZeroDivisionError("as a bug would")
        if len(self.packets) == self.close_after:
            self.connection.close(CloseReason.RATE_LIMITED)

    def frame_received(self) -> None:
        assert not self.losses, "a frame after the loss"
        self.frames += 1
        if self.frames > self.frames_allowed:
            self.connection.close(CloseReason.RATE_LIMITED)

    def fail(self, reason: CloseReason, detail: str = "") -> None:
        self.failures.append((reason, detail))
        self.connection.close(reason)

    def pause_writing(self) -> None:
        self.writing.append("pause")

    def resume_writing(self) -> None:
        self.writing.append("resume")

    def lost(self, reason: CloseReason) -> None:
        self.losses.append(reason)


RAISE = 666  # an operation that makes the session raise


class Admission:
    """An ``Accept`` that keeps the sessions it made; or refuses with ``refusal``."""

    def __init__(self, refusal: CloseReason | None = None) -> None:
        self.refusal = refusal
        self.sessions: list[RecordingSession] = []

    def __call__(self, connection: Connection) -> RecordingSession | None:
        if self.refusal is not None:
            connection.close(self.refusal)
            return None
        session = RecordingSession(connection)
        self.sessions.append(session)
        return session
