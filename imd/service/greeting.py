"""What a process says when it is ready: where to connect and what to try."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

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
  listen    {imdctl} listen --url {tcp} --room live://1000
  push      curl -d 'hello' '{http}goim/push/room?operation=1000&type=live&room=1000'
  or open   {http}"""


def greeting(
    role: Role,
    settings: Settings,
    sockets: Mapping[str, BoundSocket],
    *,
    program: str = "twistd",
    path: str | None = None,
) -> str:
    """Several lines, ready to paste from. ``program``: how we were called; ``path``: as PATH, None = ours."""
    urls = {key: _url(key, bound) for key, bound in sockets.items()}
    lines = ["imd is ready" if role == "imd" else f"imd-{role} is ready"]
    lines += [f"  {_NAMES[key]:<19} {url}" for key, url in urls.items()]
    tcp, http = urls.get("comet.tcp", ""), urls.get("logic.http", "")
    if tcp.startswith("tcp:") and http.startswith("http:") and settings.auth.mode == "trust":
        lines.append(_TRY.format(imdctl=_imdctl(program, path), tcp=tcp, http=http))
    return "\n".join(lines)


def _imdctl(program: str, path: str | None) -> str:
    """What to type for it: its name where that finds one, else its place beside ours (``.venv/bin/imdctl``)."""
    beside = Path(program).with_name("imdctl")
    return "imdctl" if shutil.which("imdctl", path=path) or not beside.is_file() else shlex.quote(str(beside))


def _url(key: str, bound: BoundSocket) -> str:
    host = str(bound)
    for wildcard, loopback in (("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")):  # to be dialled
        if host.startswith(wildcard):
            host = loopback + host.removeprefix(wildcard)
    return str(bound) if bound.address.path else _SCHEMES[key].format(host)
