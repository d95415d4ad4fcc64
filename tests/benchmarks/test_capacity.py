"""What so many connections need, and machines that do not have it."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.capacity import Demand, Host, host

MILLION = Demand(1_000_000, 19_000)
LARGE = Host(
    files_of_a_process=20_000,
    files=2_400_000,
    watches=5_000_000,
    ports=28_232,
    tracked=None,
    memory_kb=24 * 1024 * 1024,
)


class DemandTests(SynchronousTestCase):
    """Over how many processes."""

    def test_processes(self) -> None:
        """As few as each one's limit allows, as even as can be."""
        self.assertEqual(MILLION.processes, 53)
        self.assertEqual(sum(MILLION.shares), 1_000_000)
        self.assertEqual((min(MILLION.shares), max(MILLION.shares)), (18_867, 18_868))
        self.assertEqual(Demand(19_000, 19_000).shares, [19_000])

    def test_most_of_a_comet(self) -> None:
        """Five deviations above the share of a kernel that deals by chance; of one comet there is no doubt."""
        self.assertEqual(MILLION.most_of_a_comet, 19_549)
        self.assertEqual(Demand(500, 500).most_of_a_comet, 500)


class HostTests(SynchronousTestCase):
    """A million before machines of several sizes."""

    def test_it_fits(self) -> None:
        """24 GB, 20,000 files a process."""
        self.assertEqual(LARGE.refusals(MILLION), [])

    def test_each_refusal_names_what_is_missing(self) -> None:
        """With what would help, and both figures."""
        cases: dict[str, Host] = {
            "ulimit -Hn": replace(LARGE, files_of_a_process=19_500),
            "fs.file-max": replace(LARGE, files=1_900_000),
            "fs.epoll.max_user_watches": replace(LARGE, watches=1_999_999),
            "ip_local_port_range": replace(LARGE, ports=3_999),
            "nf_conntrack_max": replace(LARGE, tracked=262_144),
            "MiB of memory": replace(LARGE, memory_kb=8 * 1024 * 1024),
        }
        for words, short in cases.items():
            with self.subTest(words):
                (refusal,) = short.refusals(MILLION)
                self.assertIn(words, refusal)
                self.assertIn("1,000,000 connections need", refusal)

    def test_most(self) -> None:
        """So many fit, and not one more; on a machine that is too small for anything, none."""
        for here in (replace(LARGE, memory_kb=8 * 1024 * 1024), replace(LARGE, files=50_000)):
            most = here.most(19_000, "tcp")
            self.assertEqual(here.refusals(Demand(most, 19_000)), [])
            self.assertNotEqual(here.refusals(Demand(most + 1, 19_000)), [])
        self.assertEqual(replace(LARGE, memory_kb=1024).most(19_000, "tcp"), 0)

    def test_this_machine(self) -> None:
        """It can hold one."""
        self.assertEqual(host().refusals(Demand(1, 1)), [])
