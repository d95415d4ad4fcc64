"""What a process says when it is ready: where to connect and what to try."""

from collections.abc import Mapping

from imd.config import Role, Settings
from imd.service.bound_socket import BoundSocket

_NAMES = {
    "comet.tcp": "TCP clients",
    "comet.tls": "TLS clients",
    "comet.websocket": "WebSocket clients",
    "comet.websocket_tls": "WSS clients",
    "logic.http": "HTTP API",
    "admin.listen": "metrics and health",
}
_SCHEMES = {
    "comet.tcp": "tcp://{}",
    "comet.tls": "tls://{}",
    "comet.websocket": "ws://{}/sub",
    "comet.websocket_tls": "wss://{}/sub",
    "logic.http": "http://{}/",
    "admin.listen": "http://{}/metrics",
}
_TRY = """\
try it:
  listen    imdctl listen --url {tcp} --room live://1000
  push      curl -d 'hello' '{http}goim/push/room?operation=1000&type=live&room=1000'
  or open   {http}"""


def greeting(role: Role, settings: Settings, sockets: Mapping[str, BoundSocket]) -> str:
    """Several lines, ready to paste from."""
    urls = {key: _url(key, bound) for key, bound in sockets.items()}
    lines = ["imd is ready" if role == "imd" else f"imd-{role} is ready"]
    lines += [f"  {_NAMES[key]:<19} {url}" for key, url in urls.items()]
    if role == "imd" and "comet.tcp" in urls and settings.auth.mode == "trust":
        lines.append(_TRY.format(tcp=urls["comet.tcp"], http=urls["logic.http"]))
    return "\n".join(lines)


def _url(key: str, bound: BoundSocket) -> str:
    host = str(bound)
    for wildcard, loopback in (("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")):  # to be dialled
        if host.startswith(wildcard):
            host = loopback + host.removeprefix(wildcard)
    return str(bound) if bound.address.path else _SCHEMES[key].format(host)
