"""Settings that are well-formed but cannot work, or must not be run: each fault in one line with its remedy."""

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

from imd.config.address import Address, parse_address
from imd.config.settings import Redis, Registry, Role, Settings
from imd.protocol.body import MAX_ROOM_BYTES
from imd.protocol.room_id import SEPARATOR

REQUEST_BYTES = 1024  # of a push's JSON, beside its body
MERGED_BYTES = 65_536  # of pushes to a room that job may hand over as one (imd.job.batch)
PACKET_BYTES = 1024  # of a pushed packet in an outbox, beside its body: headers, a room's name, bookkeeping
PAGE_BYTES = 2 * 2**20  # of the largest message between processes, beside bodies: a page is 1 MiB and its envelope

_Check = Callable[[Settings, Role], Iterator[str]]


def faults(settings: Settings, role: Role) -> list[str]:
    """One line each; empty when the process can start with them."""
    return [fault for check in _CHECKS for fault in check(settings, role)]


def _listeners(settings: Settings, role: Role) -> Iterator[str]:
    for key, text in listens(settings, role).items():
        if text:
            try:
                address = parse_address(text)
            except ValueError as error:
                yield f"{key}: {error}"
            else:
                if address.path and key.startswith("comet."):  # a client is known, counted and limited by its IP
                    yield f"{key} = {text}: clients have addresses, so a unix socket will not do; give host:port"
    if role in ("imd", "comet"):
        comet = settings.comet
        if not (comet.tcp or comet.websocket or comet.tls or comet.websocket_tls):
            yield "comet: nowhere to listen; give comet.tcp, comet.websocket, comet.tls or comet.websocket_tls"


def _certificates(settings: Settings, role: Role) -> Iterator[str]:
    comet = settings.comet
    if role not in ("imd", "comet") or not (comet.tls or comet.websocket_tls):
        return
    for key, path in (("certificate", comet.certificate), ("private_key", comet.private_key)):
        if not path:
            yield f"comet.{key}: needed because comet.tls or comet.websocket_tls listens; give the path of a PEM file"
        elif not Path(path).is_file():
            yield f"comet.{key}: no such file: {path}"


def _trust(settings: Settings, role: Role) -> Iterator[str]:
    auth = settings.auth
    if role not in ("imd", "logic") or auth.mode != "trust" or auth.allow_trust_on_public_address:
        return
    for key, text in listens(settings, role).items():
        if text and key != "admin.listen" and is_public(text):
            yield (
                f"{key} = {text}: auth.mode = trust believes whatever a client says, so it listens on loopback only; "
                "use auth.mode = token, or set auth.allow_trust_on_public_address = true"
            )


def _tokens(settings: Settings, role: Role) -> Iterator[str]:
    auth = settings.auth
    if role not in ("imd", "logic"):
        return
    if auth.mode == "token" and not (auth.keys or auth.jwks):
        yield "auth.mode = token: needs auth.keys or auth.jwks to check tokens with"
    for number, key in enumerate(auth.keys):
        if not Path(key.file).is_file():
            yield f"auth.keys[{number}].file: no such file: {key.file}"
    if auth.jwks and not auth.jwks.startswith(("https://", "http://")) and not Path(auth.jwks).is_file():
        yield f"auth.jwks: neither a URL nor a file: {auth.jwks}"
    if auth.jwks.startswith("http://"):
        yield f"auth.jwks: {auth.jwks}: whoever is on the way could replace the keys; use https:// or a file"


def _push_keys(settings: Settings, role: Role) -> Iterator[str]:
    if role not in ("imd", "logic"):
        return
    for key, text in (("logic.http", settings.logic.http),):
        if text and is_public(text) and settings.push.require_key == "never":
            yield f"{key} = {text}: push.require_key = never lets anybody push; use auto or always, or listen on loopback"
    names = [key.name for key in settings.push.keys]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"push.keys: two are named {name}; a name tells them apart in logs and metrics"


def _backends(settings: Settings, role: Role) -> Iterator[str]:
    chosen = {
        "broker": (settings.broker.backend, ("memory", "sqlite"), "redis", ("logic", "job")),
        "presence": (settings.presence.backend, ("memory",), "redis", ("logic", "job")),
        "registry": (settings.registry.backend, ("static",), "zookeeper", ("comet", "logic", "job")),
    }
    for section, (backend, single, cluster, roles) in chosen.items():
        if role in roles and backend in single:
            yield (
                f"{section}.backend = {backend}: lives in one process, which only `twistd imd` is; "
                f"for imd-{role} use {section}.backend = {cluster}"
            )
    if role == "imd" and settings.registry.backend == "zookeeper":
        yield (
            "registry.backend = zookeeper: nobody could reach the parts of `twistd imd`, which is one process for itself; "
            "keep static, or run twistd imd-comet, imd-logic and imd-job"
        )
    if role == "imd" and settings.broker.backend == "memory" and settings.presence.backend == "redis":
        yield "broker.backend = memory with presence.backend = redis: others would see the clients but not the pushes"
    if settings.presence.lease_seconds < 2 * settings.comet.renew_seconds:
        yield (
            f"presence.lease_seconds = {settings.presence.lease_seconds:g}: must be at least twice "
            f"comet.renew_seconds = {settings.comet.renew_seconds:g}, or one lost renewal hides every client"
        )


def _rooms(settings: Settings, role: Role) -> Iterator[str]:
    for name, room in settings.rooms.items():
        if SEPARATOR in name:
            right = name.partition(SEPARATOR)[0]
            yield f"rooms.{name}: a type is what stands before {SEPARATOR} in a room's id; write rooms.{right}"
        if len(name.encode()) > MAX_ROOM_BYTES - len(SEPARATOR):
            yield f"rooms.{name}: no room has a type of more than {MAX_ROOM_BYTES - len(SEPARATOR)} bytes"
        if room.join == "granted" and role in ("imd", "logic") and settings.auth.mode == "trust":
            yield (
                f'rooms.{name}.join = "granted": with auth.mode = trust nobody shows a token that names a room, so nobody '
                'could join; use auth.mode = "token", or join = "members"'
            )


def _timelines(settings: Settings, role: Role) -> Iterator[str]:
    head_seconds = settings.timelines.head_seconds
    ages = {f"rooms.{name}.age_seconds": room.age_seconds for name, room in settings.rooms.items() if room.keep}
    if settings.inboxes.keep:
        ages["inboxes.age_seconds"] = settings.inboxes.age_seconds
    for key, seconds in ages.items():
        if seconds > head_seconds:
            yield (
                f"{key} = {seconds:g}: a timeline is forgotten timelines.head_seconds = {head_seconds:g} after its last "
                "message; raise that, or keep messages for less"
            )


def _sizes(settings: Settings, role: Role) -> Iterator[str]:
    """What must hold the largest push."""
    body = settings.push.max_body_bytes
    if role in ("imd", "logic") and settings.logic.max_request_bytes < body * 4 // 3 + REQUEST_BYTES:
        yield (
            f"logic.max_request_bytes = {settings.logic.max_request_bytes}: holds no push of push.max_body_bytes = {body} in "
            f"base64; give at least {body * 4 // 3 + REQUEST_BYTES}"
        )
    held = max(body, MERGED_BYTES) + PACKET_BYTES
    if role in ("imd", "comet") and settings.comet.outbox_bytes < held:
        yield (
            f"comet.outbox_bytes = {settings.comet.outbox_bytes}: does not hold one push of push.max_body_bytes = {body}, or "
            f"{MERGED_BYTES} bytes of merged ones, for a client that is slow for a moment; give at least {held}"
        )
    if settings.rpc.max_message_bytes < PAGE_BYTES + 2 * body:
        yield (
            f"rpc.max_message_bytes = {settings.rpc.max_message_bytes}: a page of a timeline, or a batch, with a push of "
            f"push.max_body_bytes = {body} may be larger; give at least {PAGE_BYTES + 2 * body}"
        )


def _redis(settings: Settings, role: Role) -> Iterator[str]:
    redis = settings.redis
    if "redis" not in (settings.broker.backend, settings.presence.backend) or role == "comet":
        return
    for key, text in (("address", redis.address), *(("sentinels", each) for each in redis.sentinels)):
        try:
            parse_address(text)
        except ValueError as error:
            yield f"redis.{key}: {error}"
    yield from _credentials("redis", redis, ("password", "sentinel_password"))
    if redis.sentinels and not redis.sentinel_master:
        yield "redis.sentinels: needs redis.sentinel_master, the name they watch it under"
    if redis.username and not (redis.password or redis.password_file):
        yield "redis.username: needs redis.password or redis.password_file"


def _zookeeper(settings: Settings, role: Role) -> Iterator[str]:
    registry = settings.registry
    if registry.backend != "zookeeper" or role == "imd":
        return
    yield from _credentials("registry", registry, ("digest",))
    if registry.digest and not is_digest(registry.digest):
        yield "registry.digest: write it as USER:PASSWORD"


def _credentials(name: str, section: Redis | Registry, secrets: tuple[str, ...]) -> Iterator[str]:
    """Each secret comes once, as itself or in its file; files are there; a certificate has its key."""
    for key in secrets:
        if getattr(section, f"{key}_file") and getattr(section, key):
            yield f"{name}.{key}: given twice, also as {name}.{key}_file; keep one"
    for key in (*(f"{key}_file" for key in secrets), "ca_file", "certificate", "private_key"):
        path = getattr(section, key)
        if path and not Path(path).is_file():
            yield f"{name}.{key}: no such file: {path}"
    if bool(section.certificate) != bool(section.private_key):
        yield f"{name}.certificate and {name}.private_key: one needs the other"


def _rpc(settings: Settings, role: Role) -> Iterator[str]:
    rpc = settings.rpc
    if role == "imd":
        return
    for key in ("curve_secret_key_file", "curve_allowed_keys_file"):
        path = getattr(rpc, key)
        if path and not Path(path).is_file():
            yield f"rpc.{key}: no such file: {path}; imdctl new-curve-keys --help says how to make it"
    if bool(rpc.curve_secret_key_file) != bool(rpc.curve_allowed_keys_file) and role != "job":
        yield "rpc.curve_secret_key_file and rpc.curve_allowed_keys_file: give both, so that only known peers connect"
    if role == "job":
        return
    if not rpc.listen.startswith(("tcp://", "ipc://")):
        yield f"rpc.listen = {rpc.listen}: give tcp://HOST:PORT, tcp://HOST:* for a free port, or ipc://PATH"
    elif rpc.listen.startswith("tcp://"):
        host = rpc.listen.removeprefix("tcp://").rpartition(":")[0].strip("[]")
        wildcard = host in ("*", "0.0.0.0", "::")  # noqa: S104  # compared, not bound
        if wildcard and not rpc.advertise:
            yield f"rpc.listen = {rpc.listen}: peers cannot dial that; give rpc.advertise = tcp://THIS-HOST:PORT"
        if (wildcard or not _loopback(host)) and not rpc.curve_secret_key_file and not rpc.plaintext_on_network:
            yield (
                f"rpc.listen = {rpc.listen}: whoever reaches it could push; set rpc.curve_secret_key_file, "
                "or rpc.plaintext_on_network = true on a network that only imd's hosts share"
            )


def _regions(settings: Settings, role: Role) -> Iterator[str]:
    for region, networks in settings.regions.items():
        for network in networks:
            try:
                ip_network(network)
            except ValueError as error:
                yield f"regions.{region}: {error}"


def listens(settings: Settings, role: Role) -> dict[str, str]:
    """Key path -> address of every listener that the role opens; empty = off."""
    comet = {f"comet.{key}": getattr(settings.comet, key) for key in ("tcp", "websocket", "tls", "websocket_tls")}
    logic = {"logic.http": settings.logic.http}
    admin = {"admin.listen": settings.admin.listen}
    return {
        "imd": {**comet, **logic, **admin},
        "comet": {**comet, **admin},
        "logic": {**logic, **admin},
        "job": admin,
    }[role]


def is_public(text: str) -> bool:
    """Whether others than this machine can reach a listener. False for what is no address: another check names that."""
    try:
        address: Address = parse_address(text)
    except ValueError:
        return False
    return not (address.path or _loopback(address.host))


def is_digest(text: str) -> bool:
    """Whether it is a user and a password, as ZooKeeper's digest scheme wants them."""
    user, _, password = text.partition(":")
    return bool(user and password)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_CHECKS: tuple[_Check, ...] = (
    _listeners,
    _certificates,
    _trust,
    _tokens,
    _push_keys,
    _backends,
    _rooms,
    _timelines,
    _sizes,
    _redis,
    _zookeeper,
    _rpc,
    _regions,
)
