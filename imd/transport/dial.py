"""To dial: a connected client from an address, over whichever transport it names."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from imd.client.address import Address, parse_address
from imd.client.client import ANSWER_SECONDS, Client
from imd.client.core import Pushed
from imd.errors import ConfigError, DeadlineExceeded, PeerUnavailable
from imd.transport.client_tcp import ClientTcp
from imd.transport.client_websocket import ClientWebSocket, client_factory
from imd.transport.network_fault import words_of
from imd.transport.server_check import ServerCheck, unverified

CONNECT_SECONDS = 10.0  # for the name, TCP, TLS and the upgrade together, unless told otherwise

AnyClient = TypeVar("AnyClient", bound=Client)


async def dial(
    kind: type[AnyClient],
    url: str,
    *,
    reactor: Any,
    ca_file: str | None = None,
    verify_server: bool = True,
    on_push: Callable[[Pushed], None] | None = None,
    connect_seconds: float = CONNECT_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
) -> AnyClient:
    """A client of this kind, connected to ``tcp://``, ``tls://``, ``ws://`` or ``wss://``: a :class:`Client` is to authenticate
    next, a :class:`imd.client.client_v2.ClientV2` to enter. (A :class:`imd.client.steady_client.SteadyClient` does it.)

    ``ca_file``: PEM authorities to trust in place of the platform's. ``verify_server=False`` believes any server: for
    tests only. Raises :class:`imd.errors.ConfigError` for a wrong address or file, :class:`PeerUnavailable`,
    :class:`DeadlineExceeded`.
    """
    address = parse_address(url)
    endpoint = _endpoint(reactor, address, ca_file, verify_server, connect_seconds)
    opening = Deferred.fromCoroutine(_open(endpoint, _factory(address, reactor)))
    overdue = reactor.callLater(connect_seconds, opening.cancel)
    try:
        link = await opening
    except (ConnectError, DNSLookupError) as error:
        raise PeerUnavailable(f"{address.url}: cannot connect: {words_of(error)}; is imd running there?") from None
    except PeerUnavailable as error:
        raise PeerUnavailable(f"{address.url}: {error}") from None
    except CancelledError:
        if overdue.active():
            raise
        raise DeadlineExceeded(f"{address.url} did not open within {connect_seconds:g} s") from None
    finally:
        if overdue.active():
            overdue.cancel()
    client = kind(link=link, clock=reactor, framed=address.framed, on_push=on_push, answer_seconds=answer_seconds)
    link.client = client
    return client


async def _open(endpoint: IStreamClientEndpoint, factory: Factory) -> ClientTcp | ClientWebSocket:
    """Through TCP, TLS and the upgrade; nothing is left behind when it is cancelled."""
    try:
        link = cast(ClientTcp | ClientWebSocket, await endpoint.connect(factory))
    except ValueError as error:  # Twisted's word for a host that no name can have
        raise ConfigError(str(error)) from None
    except ConnectingCancelledError:  # Twisted's word for it while TCP is under way
        raise CancelledError from None
    try:
        await link.opened
    except CancelledError:
        link.abort()
        raise
    return link


def _endpoint(
    reactor: Any, address: Address, ca_file: str | None, verify_server: bool, connect_seconds: float
) -> IStreamClientEndpoint:
    plain = HostnameEndpoint(reactor, address.host, address.port, timeout=connect_seconds)
    if not address.secure:
        return cast(IStreamClientEndpoint, plain)
    check = ServerCheck(address.host, ca_file=ca_file) if verify_server else unverified()
    return wrapClientTLS(check, plain)


def _factory(address: Address, reactor: Any) -> Factory:
    if address.framed:
        return cast(Factory, client_factory(address.url, reactor))
    return cast(Factory, _TcpFactory(secure=address.secure))


class _TcpFactory(Factory):
    noisy = False

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure

    def buildProtocol(self, addr: Any) -> Any:
        return cast(IProtocol, ClientTcp(secure=self._secure))
