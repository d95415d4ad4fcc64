"""What counts as a result."""

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.measurement import result
from tests.benchmarks.windows import GOOD, window


class WindowTests(SynchronousTestCase):
    """One window, and why it is refused."""

    def refused(self, word: str, **changes: object) -> None:
        (why,) = window(**changes).refusals
        self.assertIn(word, why)

    def test_a_good_one(self) -> None:
        """The server's time over what arrived."""
        self.assertEqual(GOOD.refusals, [])
        self.assertAlmostEqual(GOOD.us_per_delivery, 3.9)
        self.assertEqual((GOOD.deliveries, GOOD.server_busy, GOOD.clients_busy), (500_000, 0.975, 0.5))

    def test_what_did_not_arrive(self) -> None:
        """One packet too few, one too many, or one client's for another's."""
        self.refused("arrived", packets=499_999)
        self.refused("arrived", packets=500_001)
        self.refused("arrived", fewest=4_999, most=5_001)
        self.refused("connection", gone=1)

    def test_nothing_was_sent(self) -> None:
        """No figure, and no division by zero."""
        empty = window(messages=0, packets=0, fewest=0, most=0)
        self.assertEqual((empty.us_per_delivery, empty.refusals), (0.0, ["nothing was sent"]))

    def test_the_generator_was_the_bottleneck(self) -> None:
        """Sockets were full, or more came than it read one by one; at a pace, its core was full."""
        self.refused("501 sends waited", waited=501)
        self.refused("fell behind: 1.2 packets a read", reads=410_000)
        self.refused("clients' core was 95% busy", clients_seconds=1.9, rate=2_500)
        self.assertEqual(window(waited=500, clients_seconds=1.9, reads=420_000).refusals, [])
        self.assertEqual(window(clients_seconds=1.8, rate=2_500).refusals, [])

    def test_what_is_merged_is_read_at_once(self) -> None:
        """Then that says nothing about the clients."""
        self.assertEqual(window(merged=20, reads=25_000).refusals, [])

    def test_flat_out_is_flat_out(self) -> None:
        """A server that waited was not measured at its limit; a paced one waits."""
        self.refused("85% busy", server_seconds=1.7)
        self.assertEqual(window(rate=2_500, server_seconds=0.1).refusals, [])

    def test_the_pace_is_kept(self) -> None:
        """What was not sent is not left out of the figure in silence."""
        self.refused("pace", rate=2_600)
        self.assertEqual(window(rate=2_550).refusals, [])

    def test_others(self) -> None:
        """Whoever else worked on a core, said by which."""
        self.refused("others had 15% of the server's core", others_on_server_core=0.3)
        self.refused("others had 15% of the clients' core", others_on_clients_core=0.3)

    def test_all_that_is_wrong_is_said(self) -> None:
        """Not the first reason only."""
        self.assertEqual(len(window(packets=1, gone=2, waited=1_000).refusals), 3)


class ResultTests(SynchronousTestCase):
    """Medians."""

    def test_medians(self) -> None:
        """Of each figure by itself; the longest time is the longest of all."""
        found = result([window(p99_ms=9, max_ms=20), window(p99_ms=3, max_ms=4), window(p99_ms=5, max_ms=7)], wanted=3)
        assert found is not None
        self.assertEqual((found.windows, found.p99_ms, found.max_ms, found.joined), (3, 5, 20, 1.0))

    def test_costs(self) -> None:
        """A run's is that of all its windows, each with the weight of what arrived; the result is the median of the runs."""
        small = {"messages": 1_000, "packets": 100_000, "reads": 100_000, "fewest": 1_000, "most": 1_000}
        found = result(
            [
                window(server_seconds=1.9),
                window(server_seconds=0.5, seconds=0.5, clients_seconds=0.2, **small),
                window(server_seconds=2.0, run=2),
                window(server_seconds=1.85, run=3),
            ],
            wanted=4,
        )
        assert found is not None
        self.assertEqual({run: round(cost, 6) for run, cost in found.costs.items()}, {1: 4.0, 2: 4.0, 3: 3.7})
        self.assertAlmostEqual(found.us_per_delivery, 4.0)

    def test_refused_windows_do_not_count(self) -> None:
        """Neither in the cost, nor among those that are needed; and no run is without one."""
        good, bad = window(), window(gone=1, server_seconds=1.0)
        found = result([bad, good, bad, good], wanted=2)
        assert found is not None
        self.assertEqual((found.windows, found.us_per_delivery), (2, good.us_per_delivery))
        self.assertIsNone(result([good, bad], wanted=2))
        self.assertIsNone(result([good, good, window(gone=1, run=2)], wanted=2))
        self.assertIsNone(result([], wanted=0))
