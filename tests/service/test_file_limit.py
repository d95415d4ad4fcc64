"""The limit of open files, on hosts and in containers."""

from resource import RLIM_INFINITY

from twisted.trial.unittest import SynchronousTestCase

from imd.service.file_limit import RESERVE, raise_file_limit


class Kernel:
    """A process's limits; above ``ceiling`` they are refused."""

    def __init__(self, soft: int, hard: int, ceiling: int = 1 << 30) -> None:
        self.limits = (soft, hard)
        self.ceiling = ceiling

    def get(self, what: int) -> tuple[int, int]:
        return self.limits

    def set(self, what: int, limits: tuple[int, int]) -> None:
        if limits[0] > self.ceiling or (limits[0] == RLIM_INFINITY and self.ceiling < 1 << 30):
            raise ValueError("not allowed to raise maximum limit")
        self.limits = limits


class FileLimitTests(SynchronousTestCase):
    """For 15,000 connections."""

    def raised(self, kernel: Kernel) -> tuple[str, int]:
        """(the warning, the limit after it)."""
        return raise_file_limit(15_000, get=kernel.get, set=kernel.set), kernel.limits[0]

    def test_as_far_as_it_goes(self) -> None:
        """To the hard limit, an unlimited one too."""
        self.assertEqual(self.raised(Kernel(1024, 20_000)), ("", 20_000))
        self.assertEqual(self.raised(Kernel(1024, RLIM_INFINITY)), ("", RLIM_INFINITY))

    def test_too_few(self) -> None:
        """A warning that says how many there are, and both remedies."""
        warning, soft = self.raised(Kernel(1024, 4096))
        self.assertEqual(soft, 4096)
        self.assertIn("may open 4096 files", warning)
        self.assertIn(f"comet.max_connections = {4096 - RESERVE}", warning)

    def test_a_container_that_refuses(self) -> None:
        """Its hard limit is no limit that can be had: what is needed is, or the soft one stays and is warned about."""
        self.assertEqual(self.raised(Kernel(1024, RLIM_INFINITY, 50_000)), ("", 15_000 + RESERVE))
        warning, soft = self.raised(Kernel(1024, RLIM_INFINITY, 10_000))
        self.assertEqual(soft, 1024)
        self.assertIn("may open 1024 files", warning)

    def test_never_lower(self) -> None:
        """A role without clients keeps what it had."""
        kernel = Kernel(1024, RLIM_INFINITY, 1024)
        self.assertEqual(raise_file_limit(0, get=kernel.get, set=kernel.set), "")
        self.assertEqual(kernel.limits[0], 1024)
