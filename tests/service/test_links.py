"""Promises of the links to the registry's peers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import capturedLogs

from imd.backend.registry_static import RegistryStatic
from imd.errors import AuthRefused, DeadlineExceeded, ImdError, Overloaded, PeerDown, PeerUnavailable, Unavailable
from imd.interfaces import Instance
from imd.protocol import rpc
from imd.protocol.rpc import Method
from imd.service.links import CometLinks, LogicLinks
from imd.transport.rpc_server import Handler, RpcServer
from imd.transport.zmq_curve import CurveDialer, CurveKeys
from tests.support.rpc import QUICK, RpcTestCase, reactor, until

CONNECT = rpc.Connect("s1", 1, "k")
RECEIVE = rpc.Receive("s1", "k", 1, 1000, b"")


async def silence(_request: rpc.Value) -> rpc.Value:
    """A handler that never ends."""
    await Deferred()
    return rpc.Done()


def raising(error: Exception) -> Handler:
    """A handler that fails."""

    async def handle(_request: rpc.Value) -> rpc.Value:
        raise error

    return handle


class LinksTestCase(RpcTestCase):
    """A registry and peers in it."""

    def setUp(self) -> None:
        """Nobody is there yet."""
        super().setUp()
        self.registry = RegistryStatic()

    def shared(self, **more: Any) -> dict[str, Any]:
        """What both kinds of links take."""
        return {
            "registry": self.registry,
            "context": self.context,
            "reactor": reactor,
            "metrics": self.metrics,
            "options": QUICK,
            **more,
        }

    async def peer(
        self, role: str, id: str, handlers: Mapping[Method, Handler], boot: int = 1, **more: Any
    ) -> RpcServer:
        """A server in the registry."""
        server = self.serve(handlers, more.pop("endpoint", "tcp://127.0.0.1:0"))
        await self.registry.register(Instance(role, id, boot, server.endpoint, **more))
        return server

    def links_are(self, role: str, up: int, down: int = 0) -> bool:
        """What the gauge says."""
        gauge = self.metrics.links
        return (gauge.value(role, "up"), gauge.value(role, "down")) == (up, down)


class LogicLinksTests(LinksTestCase):
    """Several logic processes as one."""

    async def logic(self, **settings: Any) -> LogicLinks:
        """Open links."""
        links = LogicLinks(**self.shared(**settings))
        await links.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(links.close()))
        return links

    def answering(self, name: str) -> dict[Method, Handler]:
        """Handlers that say who answered."""

        async def connect(request: rpc.Connect) -> rpc.Connected:
            return rpc.Connected(name, 1)

        async def receive(request: rpc.Receive) -> rpc.Done:
            return rpc.Done()

        return {Method.CONNECT: connect, Method.RECEIVE: receive}

    async def test_calls_go_round(self) -> None:
        """Each peer gets its share; over inproc as over tcp."""
        await self.peer("logic", "l1", self.answering("l1"))
        await self.peer("logic", "l2", self.answering("l2"), endpoint="inproc://l2")
        links = await self.logic()
        await until(lambda: self.links_are("logic", 2))
        names = [(await links.connect(CONNECT)).key for _ in range(6)]
        self.assertEqual((names.count("l1"), names.count("l2")), (3, 3))

    async def gather(self, handlers: Mapping[Method, Handler]) -> LogicLinks:
        """Links to one logic, which is being asked for the client 0: whoever comes now shares the next request."""
        self.asked: list[rpc.Value] = []
        self.first: Deferred[None] = Deferred()

        def noted(handler: Handler) -> Handler:
            async def handle(request: rpc.Value) -> rpc.Value:
                self.asked.append(request)
                if len(self.asked) == 1:
                    await self.first
                return await handler(request)

            return handle

        await self.peer("logic", "l1", {method: noted(handler) for method, handler in handlers.items()})
        links = await self.logic()
        await until(lambda: self.links_are("logic", 1))
        return links

    async def connect_all(self, links: LogicLinks, count: int) -> list[Any]:
        """Their keys, or the errors they got."""
        calls = [Deferred.fromCoroutine(links.connect(rpc.Connect("s1", 1, f"k{number}"))) for number in range(count)]
        await until(lambda: bool(self.asked))
        self.first.callback(None)
        results = await DeferredList(calls, consumeErrors=True)
        return [found.key if success else found.value for success, found in results]  # type: ignore[attr-defined]  # a Connected, or a Failure

    async def test_those_who_come_at_one_time_share_a_request(self) -> None:
        """Each gets its own verdict; one that takes waiting is asked for alone."""

        async def connect(request: rpc.Connect) -> rpc.Connected:
            return rpc.Connected(f"{request.key} alone", 1)

        async def connect_many(request: rpc.ConnectMany) -> rpc.Verdicts:
            good, _, _ = request.clients
            refused = rpc.Verdict(None, AuthRefused.code, "no")
            return rpc.Verdicts((rpc.Verdict(rpc.Connected(good.key, 1)), refused, rpc.Verdict()))

        links = await self.gather({Method.CONNECT: connect, Method.CONNECT_MANY: connect_many})
        alone, good, bad, slow = await self.connect_all(links, 4)
        self.assertEqual((alone, good, slow), ("k0 alone", "k1", "k3 alone"))
        self.assertIsInstance(bad, AuthRefused)
        self.assertEqual(str(bad), "no")
        self.assertEqual([type(each).__name__ for each in self.asked], ["Connect", "ConnectMany", "Connect"])

    async def test_an_older_logic(self) -> None:
        """It knows clients one by one only: it is asked so."""
        links = await self.gather(self.answering("l1"))
        self.assertEqual(await self.connect_all(links, 3), ["l1"] * 3)
        self.assertEqual(len(self.asked), 3)

    async def test_too_few_verdicts(self) -> None:
        """Nobody is let in by somebody else's verdict."""

        async def connect_many(request: rpc.ConnectMany) -> rpc.Verdicts:
            return rpc.Verdicts((rpc.Verdict(rpc.Connected("k", 1)),))

        links = await self.gather({**self.answering("l1"), Method.CONNECT_MANY: connect_many})
        first, *others = await self.connect_all(links, 3)
        self.assertEqual(first, "l1")
        self.assertEqual([type(each) for each in others], [ImdError, ImdError])

    async def test_those_who_go_share_a_request(self) -> None:
        """Or have their own, with an older logic."""

        async def done(request: rpc.Value) -> rpc.Done:
            return rpc.Done()

        for known in ({Method.DISCONNECT_MANY: done}, {}):
            self.registry = RegistryStatic()
            links = await self.gather({Method.DISCONNECT: done, **known})
            calls = [Deferred.fromCoroutine(links.disconnect(rpc.Disconnect("s1", 1, key, 5))) for key in "abc"]
            await until(lambda: bool(self.asked))
            self.first.callback(None)
            self.assertEqual([await call for call in calls], [rpc.Done()] * 3)
            rest = (
                [rpc.DisconnectMany("s1", 1, (("b", 5), ("c", 5)))]
                if known
                else [rpc.Disconnect("s1", 1, "b", 5), rpc.Disconnect("s1", 1, "c", 5)]
            )
            self.assertEqual(self.asked[1:], rest)

    async def test_closed(self) -> None:
        """Whoever waits for an answer hears of it."""
        links = await self.gather({Method.CONNECT: silence})
        calls = [Deferred.fromCoroutine(links.connect(CONNECT)) for _ in range(2)]
        await until(lambda: bool(self.asked))
        await links.close()
        for call in calls:
            await self.assertFailure(call, PeerUnavailable)
        self.first.callback(None)

    async def test_nobody_there(self) -> None:
        """Fails at once, and says so for readiness."""
        links = await self.logic()
        await self.assertFailure(Deferred.fromCoroutine(links.connect(CONNECT)), PeerDown)
        self.assertEqual(links.trouble(), "no logic can be reached")
        await self.peer("logic", "l1", self.answering("l1"))
        await until(lambda: links.trouble() is None)

    async def test_the_next_one_answers(self) -> None:
        """A peer that is down is passed over; nothing is lost, whatever the method."""
        one = await self.peer("logic", "l1", self.answering("l1"))
        await self.peer("logic", "l2", self.answering("l2"))
        links = await self.logic()
        await until(lambda: self.links_are("logic", 2))
        await one.close(0)
        await until(lambda: self.links_are("logic", 1, 1))
        for _ in range(4):
            self.assertEqual((await links.connect(CONNECT)).key, "l2")
            await links.receive(RECEIVE)

    async def test_an_unknown_outcome_is_tried_elsewhere_if_it_may_be(self) -> None:
        """The peer vanished with the calls: connect is repeated, receive is not."""
        one = await self.peer("logic", "l1", {Method.CONNECT: silence, Method.RECEIVE: silence})
        await self.peer("logic", "l2", self.answering("l2"))
        links = await self.logic()
        await until(lambda: self.links_are("logic", 2))
        connects = [Deferred.fromCoroutine(links.connect(CONNECT)) for _ in range(2)]
        receives = [Deferred.fromCoroutine(links.receive(RECEIVE)) for _ in range(2)]
        calls: list[Deferred[Any]] = [*connects, *receives]
        await until(lambda: sum(call.called for call in calls) == 2)
        await one.close(0)
        self.assertEqual([(await call).key for call in connects], ["l2", "l2"])
        results = await DeferredList(receives, consumeErrors=True)
        self.assertEqual(sorted(success for success, _ in results), [False, True])
        failure = next(failure for success, failure in results if not success)
        self.assertTrue(failure.check(PeerUnavailable))  # type: ignore[attr-defined]  # a Failure, when it is none

    async def test_a_silent_peer_costs_one_attempt(self) -> None:
        """After its part of the deadline another peer is asked."""
        await self.peer("logic", "l1", {Method.CONNECT: silence, Method.RECEIVE: silence})
        await self.peer("logic", "l2", self.answering("l2"))
        links = await self.logic(attempt_seconds=0.1, deadline_seconds=1.0)
        await until(lambda: self.links_are("logic", 2))
        names = [(await links.connect(CONNECT)).key for _ in range(4)]
        self.assertEqual(names, ["l2"] * 4)

    async def test_receive_is_not_repeated(self) -> None:
        """Its outcome is unknown: the hook may have had it."""
        await self.peer("logic", "l1", {Method.RECEIVE: silence})
        await self.peer("logic", "l2", {Method.RECEIVE: silence})
        links = await self.logic(attempt_seconds=0.1, deadline_seconds=1.0)
        await until(lambda: self.links_are("logic", 2))
        began = reactor.seconds()
        await self.assertFailure(Deferred.fromCoroutine(links.receive(RECEIVE)), DeadlineExceeded)
        self.assertLess(reactor.seconds() - began, 0.19)

    async def test_what_may_be_repeated(self) -> None:
        """A message with its client's id may, one without may not, nor may news of who came: nobody can tell the second."""
        methods = (Method.READ, Method.ACK, Method.REFRESH, Method.SEND, Method.ATTEND)
        asked: list[Method] = []

        def late(method: Method) -> Handler:
            async def handle(_request: rpc.Value) -> rpc.Value:
                asked.append(method)
                raise DeadlineExceeded("its product did not answer")

            return handle

        for name in ("l1", "l2"):
            await self.peer("logic", name, {method: late(method) for method in methods})
        links = await self.logic()
        await until(lambda: self.links_are("logic", 2))
        calls: list[tuple[Method, rpc.Value, int]] = [
            (Method.READ, rpc.Read("s1", ()), 2),
            (Method.ACK, rpc.Acks("s1", ()), 2),
            (Method.REFRESH, rpc.Refresh("s1", "k", 1, "token"), 2),
            (Method.SEND, rpc.Send("s1", "k", 1, 1000, b"", client_id="one"), 2),
            (Method.SEND, rpc.Send("s1", "k", 1, 1000, b""), 1),
            (Method.ATTEND, rpc.Attendances("s1", ()), 1),
        ]
        for method, request, times in calls:
            asked.clear()
            await self.assertFailure(Deferred.fromCoroutine(links.call(method, request)), DeadlineExceeded)
            self.assertEqual(len(asked), times, asked)

    async def test_all_tries_together_keep_the_deadline(self) -> None:
        """The second attempt gets only what is left."""
        for name in ("l1", "l2", "l3"):
            await self.peer("logic", name, {Method.CONNECT: silence})
        links = await self.logic(attempt_seconds=0.2, deadline_seconds=0.35)
        await until(lambda: self.links_are("logic", 3))
        began = reactor.seconds()
        await self.assertFailure(Deferred.fromCoroutine(links.connect(CONNECT)), DeadlineExceeded)
        self.assertLess(reactor.seconds() - began, 0.5)

    async def test_a_refusal_is_final_but_not_for_load(self) -> None:
        """Bad credentials are bad everywhere; an overloaded peer is not the only one."""
        await self.peer("logic", "l1", {Method.CONNECT: raising(AuthRefused("no"))})
        links = await self.logic()
        await until(lambda: self.links_are("logic", 1))
        await self.assertFailure(Deferred.fromCoroutine(links.connect(CONNECT)), AuthRefused)
        busy = {Method.CONNECT: raising(Overloaded("busy")), Method.RECEIVE: raising(Overloaded("busy"))}
        await self.registry.unregister(Instance("logic", "l1", 1, ""))
        await self.peer("logic", "l2", busy)
        await self.peer("logic", "l3", self.answering("l3"))
        await until(lambda: self.links_are("logic", 2))
        for _ in range(3):
            self.assertEqual((await links.connect(CONNECT)).key, "l3")
            await links.receive(RECEIVE)


class CometLinksTests(LinksTestCase):
    """A client per comet."""

    def counting(self, delivered: int) -> dict[Method, Handler]:
        """Handlers of a comet that says so."""

        async def push(request: rpc.Batch) -> rpc.Outcomes:
            return rpc.Outcomes((rpc.Outcome(delivered=delivered),))

        return {Method.PUSH: push}

    async def comets(self, **settings: Any) -> CometLinks:
        """Open links."""
        links = CometLinks(**self.shared(**settings))
        await links.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(links.close()))
        return links

    async def push(self, links: CometLinks, server: str) -> int:
        """What the comet says."""
        found = links.find(server)
        assert found is not None
        return (await found[1].push(rpc.Batch(server, found[0], ()))).outcomes[0].delivered

    async def test_a_link_per_comet(self) -> None:
        """Made and let go as the registry changes."""
        links = await self.comets()
        self.assertEqual((dict(links.all()), links.trouble()), ({}, None))
        await self.peer("comet", "c1", self.counting(1))
        await self.peer("comet", "c2", self.counting(2), endpoint="inproc://c2")
        await until(lambda: self.links_are("comet", 2))
        self.assertEqual([await self.push(links, name) for name in ("c1", "c2")], [1, 2])
        await self.registry.unregister(Instance("comet", "c1", 1, ""))
        self.assertIsNone(links.find("c1"))
        self.assertEqual(set(links.all()), {"c2"})
        self.assertTrue(self.links_are("comet", 1))

    async def test_opens_when_the_comets_are_known(self) -> None:
        """Not before: a push to all that came meanwhile would find none. Who gives up waiting leaves nothing behind."""
        told: list[Callable[[Sequence[Instance]], None]] = []

        class Slow(RegistryStatic):
            """Knows who is there only later."""

            def watch(self, role: str, listener: Callable[[Sequence[Instance]], None]) -> Callable[[], None]:
                told.append(listener)
                return lambda: told.remove(listener)

        links = CometLinks(**self.shared(registry=Slow()))
        opening = Deferred.fromCoroutine(links.open())
        self.assertFalse(opening.called)
        opening.cancel()
        await self.assertFailure(opening, CancelledError)
        self.assertEqual(told, [])
        opening = Deferred.fromCoroutine(links.open())
        told[0]([])
        await opening
        await links.close()

    async def test_another_boot_is_another_peer(self) -> None:
        """The old link goes, the new boot is told."""
        await self.peer("comet", "c1", self.counting(1), boot=1)
        links = await self.comets()
        await until(lambda: self.links_are("comet", 1))
        await self.registry.unregister(Instance("comet", "c1", 1, ""))
        await self.peer("comet", "c1", self.counting(5), boot=2)
        await until(lambda: self.links_are("comet", 1))
        self.assertEqual(links.all()["c1"][0], 2)
        self.assertEqual(await self.push(links, "c1"), 5)

    async def test_a_new_figure_is_no_new_peer(self) -> None:
        """Connection counts change all the time; the link stays."""
        server = await self.peer("comet", "c1", self.counting(1))
        links = await self.comets()
        await until(lambda: self.links_are("comet", 1))
        await self.registry.update(Instance("comet", "c1", 1, server.endpoint, conn_count=9, updated_at_ms=5))
        self.assertTrue(self.links_are("comet", 1), "was dialled again")
        self.assertEqual(await self.push(links, "c1"), 1)

    async def test_what_is_pending_survives_the_registry(self) -> None:
        """A comet that leaves the registry still answers what it has."""
        gate: Deferred[None] = Deferred()

        async def push(request: rpc.Batch) -> rpc.Outcomes:
            await gate
            return rpc.Outcomes((rpc.Outcome(delivered=3),))

        await self.peer("comet", "c1", {Method.PUSH: push})
        links = await self.comets()
        await until(lambda: self.links_are("comet", 1))
        call = Deferred.fromCoroutine(self.push(links, "c1"))
        await self.registry.unregister(Instance("comet", "c1", 1, ""))
        gate.callback(None)
        self.assertEqual(await call, 3)

    async def test_a_comet_that_is_down_stays_in_sight(self) -> None:
        """In the registry but not reachable: calls fail at once, readiness tells when nobody is left."""
        server = await self.peer("comet", "c1", self.counting(1))
        links = await self.comets()
        await until(lambda: self.links_are("comet", 1))
        await server.close(0)
        await until(lambda: self.links_are("comet", 0, 1))
        self.assertEqual(set(links.all()), {"c1"})
        await self.assertFailure(Deferred.fromCoroutine(self.push(links, "c1")), PeerDown)
        self.assertEqual(links.trouble(), "no comet can be reached: pushes wait in the broker")
        self.assertFalse(links.reachable())
        await self.registry.unregister(Instance("comet", "c1", 1, ""))
        self.assertTrue(links.reachable(), "nobody is there to be reached")

    async def test_a_peer_that_cannot_be_dialled(self) -> None:
        """What is wrong with one peer's entry is said, and costs no other peer."""
        for id, endpoint in (("c1", "nonsense"), ("c2", "tcp://*:1"), ("c3", "tcp://127.0.0.1:1")):
            await self.registry.register(Instance("comet", id, 1, endpoint))
        with capturedLogs() as logged:
            links = await self.comets()
        self.assertEqual(list(links.all()), ["c3"])
        self.assertEqual([event["id"] for event in logged], ["c1", "c2"])

    async def test_a_warning_is_given_once(self) -> None:
        """Comets report to the registry every few seconds: a peer that is not dialled is not spoken of each time, but it is
        when it was started again."""

        def peers(boot: int, conn_count: int = 0) -> list[Instance]:
            endpoint = "tcp://127.0.0.1:1"
            return [
                Instance("comet", "c1", boot, endpoint, conn_count=conn_count, rpc_public_key="nonsense"),
                Instance("comet", "c2", boot, endpoint, conn_count=conn_count),
            ]

        for instance in peers(1):
            await self.registry.register(instance)
        with capturedLogs() as logged:
            await self.comets(curve=CurveDialer(CurveKeys(b"0" * 40, b"0" * 40)))
            for instance in peers(1, 5) + peers(1, 6):
                await self.registry.update(instance)
            self.assertEqual([event["id"] for event in logged], ["c1", "c2"])
            for instance in peers(1):
                await self.registry.unregister(instance)
            for instance in peers(2):
                await self.registry.register(instance)
        self.assertEqual([event["id"] for event in logged], ["c1", "c2", "c1", "c2"])

    async def test_no_plaintext_where_there_are_keys(self) -> None:
        """A peer that offers no key is not dialled: the registry cannot talk us out of CURVE."""
        keys = CurveKeys(b"0" * 40, b"0" * 40)
        await self.peer("comet", "c1", self.counting(1))
        links = await self.comets(curve=CurveDialer(keys))
        self.assertEqual((dict(links.all()), links.reachable()), ({}, False))

    async def test_closing_fails_what_is_pending(self) -> None:
        """Nobody waits for a link that is gone."""
        await self.peer("comet", "c1", {Method.PUSH: silence})
        links = await self.comets()
        await until(lambda: self.links_are("comet", 1))
        call = Deferred.fromCoroutine(self.push(links, "c1"))
        await links.close()
        await self.assertFailure(call, Unavailable)
        self.assertTrue(self.links_are("comet", 0))
