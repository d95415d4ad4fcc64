"""The loop in Python."""

from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Arm
from imd.transport.battery import SocketBattery
from tests.contract.battery import BatteryContract


class SocketBatteryTests(BatteryContract, SynchronousTestCase):
    """One in Python."""

    def arm(self) -> Arm:
        return SocketBattery
