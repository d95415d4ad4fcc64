"""Partitions shared by ZooKeeper: one owner each, whoever comes, goes, dies or loses its session."""

import os
import signal
import sys

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from imd.backend.assignment_zookeeper import AssignmentZookeeper
from imd.backend.zookeeper_session import ZookeeperSession
from tests.contract import assignment as contract
from tests.contract.assignment import ALL, PARTITIONS, Job
from tests.support.reactor import eventually, reactor
from tests.support.zookeeper_case import SESSION_SECONDS, ZooKeeperCase

PROCESS = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from imd.backend.assignment_zookeeper import AssignmentZookeeper
from imd.backend.zookeeper_session import ZookeeperSession
from imd.backend.zookeeper_settings import ZookeeperSettings

async def changed(owned):
    print(*sorted(owned), flush=True)

async def run(hosts, seconds, prefix, partitions):
    settings = ZookeeperSettings(hosts=hosts, session_seconds=float(seconds))
    session = ZookeeperSession(settings=settings, reactor=reactor)
    await session.open()
    assignment = AssignmentZookeeper(
        session=session, reactor=reactor, id="process", partitions=int(partitions), prefix=prefix
    )
    await assignment.start(changed)

Deferred.fromCoroutine(run(*sys.argv[1:]))
reactor.run()
"""


class _Case(ZooKeeperCase):
    def make(self, session: ZookeeperSession, id: str, *, partitions: int = PARTITIONS) -> AssignmentZookeeper:
        assignment = AssignmentZookeeper(
            session=session, reactor=reactor, id=id, partitions=partitions, prefix=self.prefix, patience_seconds=0.2
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(assignment.stop()))
        return assignment

    async def start(self, id: str, *, partitions: int = PARTITIONS) -> tuple[AssignmentZookeeper, Job]:
        """A job on a session of its own."""
        assignment, job = self.make(await self.make_session(), id, partitions=partitions), Job()
        await assignment.start(job)
        return assignment, job

    async def shared(self, *jobs: Job, partitions: int = PARTITIONS) -> None:
        """Every partition is owned, by one of the jobs, and fairly."""

        def holds() -> bool:
            sizes = [len(job.owned) for job in jobs]
            whole = frozenset().union(*(job.owned for job in jobs)) == frozenset(range(partitions))
            return whole and sum(sizes) == partitions and max(sizes) - min(sizes) <= 1

        await eventually(holds)


class AssignmentZookeeperTests(contract.AssignmentContract, _Case):
    """The contract, with one job."""

    async def make_assignment(self) -> AssignmentZookeeper:
        return self.make(await self.make_session(), "job")


class SharingTests(_Case):
    """Several jobs."""

    async def test_jobs_come_and_go(self) -> None:
        """Two share, then three, then two again, then one has all."""
        _, one = await self.start("job/1")
        second, two = await self.start("job/2")
        await self.shared(one, two)
        third, three = await self.start("job/3")
        await self.shared(one, two, three)
        await second.stop()
        await self.shared(one, three)
        await third.stop()
        await self.shared(one)
        self.assertEqual((one.most, two.most, three.most), (1, 1, 1))

    async def test_only_what_moves_is_given_up(self) -> None:
        """A job that comes takes its share; what stays is not interrupted."""
        _, one = await self.start("job-1", partitions=32)
        await eventually(lambda: len(one.owned) == 32)
        calls = len(one.calls)
        _, two = await self.start("job-2", partitions=32)
        await self.shared(one, two, partitions=32)
        self.assertTrue(all(one.owned <= call for call in one.calls[calls:]))

    async def test_nobody_takes_before_it_was_let_go(self) -> None:
        """As long as ``changed`` has not returned, the next owner waits."""
        _, one = await self.start("job-1")
        await eventually(lambda: one.owned == ALL)
        one.slow = Deferred()
        _, two = await self.start("job-2")
        await eventually(lambda: one.calls[-1] != ALL)
        await deferLater(reactor, 0.3)
        self.assertEqual(two.calls, [])
        one.slow.callback(None)
        one.slow = None
        await self.shared(one, two)

    async def test_a_killed_job(self) -> None:
        """A process that is killed with -9 leaves its partitions when its session has run out, and not long after."""
        process = Process()
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        arguments = [
            sys.executable,
            "-c",
            PROCESS,
            self.server.hosts,
            str(SESSION_SECONDS),
            self.prefix,
            str(PARTITIONS),
        ]
        transport = reactor.spawnProcess(process, sys.executable, arguments, env=environment)
        await eventually(lambda: process.owned == ALL)
        _, job = await self.start("job")
        await eventually(lambda: process.owned | job.owned == ALL and len(job.owned) == PARTITIONS // 2)
        transport.signalProcess(signal.SIGKILL)
        await process.ended
        killed = reactor.seconds()
        await eventually(lambda: job.owned == ALL)
        self.assertLess(reactor.seconds() - killed, SESSION_SECONDS + 2)

    async def test_a_lost_session(self) -> None:
        """Everything is given up at once, and a share taken again after the return."""
        first, one = await self.start("job-1")
        _, two = await self.start("job-2")
        await self.shared(one, two)
        calls = len(one.calls)
        self.expire(first._session)
        await eventually(lambda: len(one.calls) > calls)
        self.assertEqual(one.calls[calls], frozenset())
        await self.shared(one, two)

    async def test_a_session_lost_while_job_is_busy(self) -> None:
        """Job is told after the call that is under way, and nothing is lost of what it gets later."""
        first, one = await self.start("job-1")
        await eventually(lambda: one.owned == ALL)
        one.slow = Deferred()
        _, two = await self.start("job-2")
        await eventually(lambda: one.calls[-1] != ALL)
        before = first._session.id
        self.expire(first._session)
        await eventually(lambda: first._session.connected and first._session.id != before)
        one.slow.callback(None)
        one.slow = None
        await self.shared(one, two)
        self.assertIn(frozenset(), one.calls)

    async def test_the_server_dies_and_returns(self) -> None:
        """Nobody gives anything up meanwhile: deliveries go on."""
        sessions = [await self.make_session(session_seconds=10.0) for _ in range(2)]
        jobs = [Job(), Job()]
        for number, (session, job) in enumerate(zip(sessions, jobs, strict=True)):
            await self.make(session, f"job-{number}").start(job)
        await self.shared(*jobs)
        for _ in range(3):
            calls = [len(job.calls) for job in jobs]
            if await self.outage(*sessions):
                break
            await self.shared(*jobs)
        await deferLater(reactor, 0.5)
        self.assertEqual([job.calls[count:] for job, count in zip(jobs, calls, strict=True)], [[], []])

    async def test_started_while_zookeeper_is_away(self) -> None:
        """It returns at once, and takes its share when there is a connection."""
        session, job = await self.make_session(wait=False), Job()
        assignment = self.make(session, "job")
        await assignment.start(job)
        self.assertEqual(job.calls, [])
        self.assertIn("is away", str(assignment.trouble()))
        await eventually(lambda: job.owned == ALL)
        self.assertIsNone(assignment.trouble())

    async def test_stopped_while_zookeeper_is_away(self) -> None:
        """Job is told, and stop returns: the session's end does the rest."""
        assignment, job = await self.start("job")
        await eventually(lambda: job.owned == ALL)
        self.server.pause()
        self.addCleanup(self.server.resume)
        await assignment.stop()
        self.assertEqual(job.owned, frozenset())

    async def test_a_job_that_raises(self) -> None:
        """Its fault is logged, and the partitions go on moving."""
        _, two = await self.start("job-2")
        await eventually(lambda: two.owned == ALL)
        told: list[frozenset[int]] = []

        async def broken(owned: frozenset[int]) -> None:
            told.append(owned)
            raise ZeroDivisionError

        assignment = self.make(await self.make_session(), "job-1")
        await assignment.start(broken)
        await eventually(lambda: bool(told) and told[-1] | two.owned == ALL and len(two.owned) == PARTITIONS // 2)
        await assignment.stop()
        await eventually(lambda: two.owned == ALL)
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    async def test_two_jobs_with_one_id(self) -> None:
        """The locks decide: no partition has two owners, whatever the list of jobs says."""
        _, one = await self.start("job")
        await eventually(lambda: one.owned == ALL)
        _, two = await self.start("job")
        await deferLater(reactor, 0.5)
        self.assertEqual((one.owned, two.owned), (ALL, frozenset()))


class Process(ProcessProtocol):
    """What a job in another process says it owns."""

    def __init__(self) -> None:
        self.owned: frozenset[int] = frozenset()
        self.ended: Deferred[None] = Deferred()
        self.heard = b""

    def outReceived(self, data: bytes) -> None:
        self.heard += data
        lines = self.heard.split(b"\n")
        if len(lines) > 1:
            self.owned = frozenset(map(int, lines[-2].split()))

    def errReceived(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)
