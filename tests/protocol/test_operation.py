"""The numbers of the client wire, which never change."""

from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.operation import Operation


class OperationTests(SynchronousTestCase):
    """Against goim's table, and what version 2 adds to it."""

    def test_numbers(self) -> None:
        """Each operation has its number."""
        self.assertEqual(
            {operation.name: operation.value for operation in Operation},
            {
                "HEARTBEAT": 2,
                "HEARTBEAT_REPLY": 3,
                "SEND": 4,
                "SEND_REPLY": 5,
                "GOODBYE": 6,
                "AUTH": 7,
                "AUTH_REPLY": 8,
                "RAW": 9,
                "CHANGE_ROOM": 12,
                "CHANGE_ROOM_REPLY": 13,
                "SUB": 14,
                "SUB_REPLY": 15,
                "UNSUB": 16,
                "UNSUB_REPLY": 17,
                "JOIN": 32,
                "JOIN_REPLY": 33,
                "LEAVE": 34,
                "LEAVE_REPLY": 35,
                "ACK": 36,
                "SYNC": 38,
                "SYNC_REPLY": 39,
                "REFRESH": 44,
                "REFRESH_REPLY": 45,
                "PRESENCE": 46,
                "ERROR": 48,
            },
        )
