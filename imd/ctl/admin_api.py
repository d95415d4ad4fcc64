"""The admin listener of a process as an operator sees it: its metrics."""

from typing import Any, Never

from prometheus_client.parser import text_string_to_metric_families
from treq.client import HTTPClient
from twisted.internet import defer
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI, Agent, RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from imd.errors import PeerUnavailable
from imd.ledger import Figures
from imd.transport.network_fault import words_of

MAX_ANSWER_BYTES = 16 * 1024 * 1024  # some hundred kilobytes are usual
STARTED = "process_start_time_seconds"


@implementer(IAgentEndpointFactory)
class _UnixEndpoints:
    """Every URL leads to one unix socket."""

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor = reactor
        self._path = path

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Twisted asks for each connection."""
        return UNIXClientEndpoint(self._reactor, self._path)


class AdminApi:
    """Asks one process. ``address``: as its ``admin.listen`` says, ``host:port`` or ``unix:path``, or a URL."""

    __slots__ = ("_address", "_agent", "_clock", "_timeout_seconds", "_url")

    def __init__(self, *, reactor: Any, address: str, timeout_seconds: float = 5.0) -> None:
        path = address.removeprefix("unix:")
        if path != address:
            agent = Agent.usingEndpointFactory(reactor, _UnixEndpoints(reactor, path))
            self._url = "http://localhost/metrics"
        else:
            agent = Agent(reactor, connectTimeout=timeout_seconds)
            url = address if "://" in address else f"http://{address}"
            self._url = url.rstrip("/").removesuffix("/metrics") + "/metrics"
        self._agent = HTTPClient(agent)
        self._address = address  # as the operator gave it
        self._clock = reactor
        self._timeout_seconds = timeout_seconds  # for the whole of it

    async def add_to(self, figures: Figures) -> float:
        """Add all that the process counts; answers when it started, in seconds since the epoch, 0 when it does not say.

        Raises :class:`PeerUnavailable` when nobody answered, or not with metrics.
        """
        try:
            text = await defer.Deferred.fromCoroutine(self._ask()).addTimeout(
                self._timeout_seconds, self._clock, onTimeoutCancel=self._late
            )
        except (ConnectError, DNSLookupError) as error:
            raise PeerUnavailable(
                f"{self._address}: cannot connect: {words_of(error)}; is imd running there?"
            ) from None
        except (ConnectionClosed, ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed) as error:
            raise PeerUnavailable(f"{self._address}: the connection broke: {words_of(error)}") from None
        try:
            return _read(text, figures)
        except ValueError:
            raise PeerUnavailable(f"{self._address}: answered something else than metrics") from None

    def _late(self, _: object, timeout: float) -> Never:
        """Whatever the cancelled request failed with, this is why."""
        raise PeerUnavailable(f"{self._address}: no answer within {timeout:g} s")

    async def _ask(self) -> str:
        answer = await self._agent.get(self._url, allow_redirects=False)
        if answer.code != 200:
            raise PeerUnavailable(f"{self._address}: HTTP status {answer.code}; is that admin.listen's address?")
        parts: list[bytes] = []
        await answer.collect(lambda part: _keep(parts, part))
        return b"".join(parts).decode("utf-8", "replace")


def _keep(parts: list[bytes], part: bytes) -> None:
    if sum(map(len, parts)) + len(part) > MAX_ANSWER_BYTES:
        raise PeerUnavailable(f"an answer of more than {MAX_ANSWER_BYTES} bytes: is that admin.listen's address?")
    parts.append(part)


def _read(text: str, figures: Figures) -> float:
    """Every counter and gauge of Prometheus' text format."""
    started, ours = 0.0, False
    for family in text_string_to_metric_families(text):
        ours = ours or family.name.startswith("imd_")
        for sample in family.samples if family.type in ("counter", "gauge") else ():
            name = sample.name.removesuffix("_total") if family.type == "counter" else sample.name
            started = sample.value if name == STARTED else started
            figures.add(name, sample.labels, sample.value)
    if not ours:
        raise ValueError("no metric of imd")
    return started
