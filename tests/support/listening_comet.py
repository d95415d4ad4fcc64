"""A real comet with a willing logic, listening on real sockets over all four transports."""

from itertools import count
from pathlib import Path
from random import random
from time import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.comet.limits import Limits
from imd.comet.server import Server
from imd.interfaces import Arm
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.transport.battery import SocketBattery
from imd.transport.direct import send_directly
from imd.transport.server_certificate import ServerCertificate
from imd.transport.tcp import TcpFactory
from imd.transport.websocket import WebSocketFactory
from tests.support.certificates import make_certificates
from tests.support.willing_logic import WillingLogic

SERVER, BOOT = "comet-1", 1


def make_server(
    *, clock: Any, limits: Limits, logic: WillingLogic, metrics: Metrics, arm: Arm = SocketBattery
) -> Server:
    """A comet whose keys are ``made-1``, ``made-2``…"""
    numbers = count(1)
    return Server(
        server=SERVER,
        boot=BOOT,
        logic=logic,
        clock=clock,
        metrics=metrics,
        make_key=lambda: f"made-{next(numbers)}",
        random=random,
        now_ms=lambda: int(1000 * time()),
        limits=limits,
        arm=arm,
    )


class ListeningComet:
    """Ports are free ones of 127.0.0.1. ``stop`` when the clients are closed: it waits until comet knows it."""

    def __init__(self, *, reactor: Any, folder: Path, limits: Limits, arm: Arm = SocketBattery) -> None:
        folder.mkdir()
        self.reactor = reactor
        self.files = make_certificates(folder)
        self.logic = WillingLogic()
        self.metrics = Metrics()
        self.server = make_server(clock=reactor, limits=limits, logic=self.logic, metrics=self.metrics, arm=arm)
        certificate = ServerCertificate(cert_file=self.files.cert, key_file=self.files.key)
        common: dict[str, Any] = {"accept": self.server.accept, "clock": reactor}
        websocket: dict[str, Any] = {"origins": ["*"], **common}
        self.ports = {
            "tcp": reactor.listenTCP(0, TcpFactory(**common), interface="127.0.0.1"),
            "tls": reactor.listenSSL(0, TcpFactory(tls=True, **common), certificate, interface="127.0.0.1"),
            "ws": reactor.listenTCP(0, WebSocketFactory(**websocket), interface="127.0.0.1"),
            "wss": reactor.listenSSL(0, WebSocketFactory(tls=True, **websocket), certificate, interface="127.0.0.1"),
        }
        for port in self.ports.values():
            send_directly(port)
        self.server.start()

    def port(self, transport: str) -> int:
        number: int = self.ports[transport].getHost().port
        return number

    async def push(self, *items: rpc.Item) -> rpc.Outcomes:
        """As job would."""
        return await self.server.push(rpc.Batch(SERVER, BOOT, items))

    async def turn(self, seconds: float = 0) -> None:
        """Let the reactor work."""
        await deferLater(self.reactor, seconds)

    async def stop(self) -> None:
        for port in self.ports.values():
            await _stopped(port)
        await self.server.stop()
        while self.server.conn_count:
            await self.turn(0.01)


async def _stopped(port: Any) -> None:
    stopping = port.stopListening()
    if isinstance(stopping, Deferred):
        await stopping
