"""Everything that can be configured: names, types, limits, defaults. What each key means stands in etc/*.toml."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0)]
SlowPolicy = Literal["disconnect", "drop_oldest", "latest_only"]
Role = Literal["imd", "comet", "logic", "job"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Server(Section, frozen=True):
    """Who this process is in the registry."""

    id: str = ""  # empty = the host's name
    hostname: str = ""  # empty = the host's name
    region: str = ""
    zone: str = ""
    env: str = ""
    weight: Count = 10
    addrs: tuple[str, ...] = ()


class Log(Section, frozen=True):
    """What is logged, and how."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Admin(Section, frozen=True):
    """The operator's listener: /metrics, /healthz, /readyz."""

    listen: str = ""


class Comet(Section, frozen=True):
    """The edge: where clients connect, and what one may cost."""

    tcp: str = "127.0.0.1:3101"
    websocket: str = "127.0.0.1:3102"
    tls: str = ""
    websocket_tls: str = ""
    certificate: str = ""
    private_key: str = ""
    reuse_port: bool = False
    allowed_origins: tuple[str, ...] = ("*",)
    max_body_bytes: Annotated[int, Meta(ge=64, le=16 * 2**20)] = 4096
    handshake_seconds: Seconds = 8.0
    heartbeat_seconds: Seconds = 240.0
    heartbeat_max: Count = 2
    max_connections: Count = 15_000
    max_connections_per_address: Count = 15_000
    packets_per_second: Seconds = 100.0
    packet_burst: Count = 200
    outbox_bytes: Annotated[int, Meta(ge=4096)] = 1_048_576
    slow_policy: SlowPolicy = "disconnect"
    buckets: Count = 32
    turn_channels: Count = 512
    sender: Literal["auto", "io_uring", "send", "python"] = "auto"
    delivery_queue_bytes: Annotated[int, Meta(ge=65_536)] = 67_108_864
    max_rooms: Annotated[int, Meta(ge=1, le=1000)] = 100
    resumes_per_second: Count = 1000
    resume_burst: Count = 2000
    timeline_check_seconds: Seconds = 30.0
    room_linger_seconds: Seconds = 30.0
    renew_seconds: Seconds = 10.0
    full_renewal_seconds: Seconds = 600.0
    stop_seconds: Seconds = 10.0


class Logic(Section, frozen=True):
    """The brain's HTTP listener."""

    http: str = "127.0.0.1:3111"
    http_timeout_seconds: Seconds = 30.0
    max_request_bytes: Annotated[int, Meta(ge=1024)] = 4_194_304


class Room(Section, frozen=True):
    """One room type: what holds for the rooms whose ids begin with it."""

    keep: bool = False
    count: Count = 1000
    age_seconds: Seconds = 86_400.0
    slow_policy: SlowPolicy | None = None  # None = comet.slow_policy
    presence_events: bool = False
    join: Literal["anyone", "members", "granted"] = "anyone"
    send: Literal["nobody", "joined", "members"] = "nobody"


class Inboxes(Section, frozen=True):
    """Members' own timelines."""

    keep: bool = True
    count: Count = 1000
    age_seconds: Seconds = 604_800.0
    send: Literal["nobody", "members"] = "nobody"


class Timelines(Section, frozen=True):
    """What holds for kept messages wherever they are kept."""

    head_seconds: Seconds = 7_776_000.0


class Devices(Section, frozen=True):
    """How many connections a member may have."""

    limit: Annotated[int, Meta(ge=0)] = 0  # of one platform; 0 = any number
    per_platform: dict[str, Annotated[int, Meta(ge=0)]] = {}


class Trace(Section, frozen=True):
    """Whose way is recorded, hop by hop."""

    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    keep_seconds: Seconds = 3600.0


class PushKey(Section, frozen=True):
    """One bearer key of the push API. The key itself is never stored."""

    name: str
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[str, ...] = ("push",)


class Push(Section, frozen=True):
    """What a push may be, and who may push."""

    require_key: Literal["auto", "always", "never"] = "auto"
    keys: tuple[PushKey, ...] = ()
    max_body_bytes: Count = 65_536
    max_targets: Count = 10_000
    max_array: Count = 1_000


class AuthKey(Section, frozen=True):
    """One key that may have signed a client's token."""

    file: str
    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"]
    kid: str = ""


class Auth(Section, frozen=True):
    """How clients prove who they are."""

    mode: Literal["trust", "token"] = "trust"
    allow_trust_on_public_address: bool = False
    keys: tuple[AuthKey, ...] = ()
    jwks: str = ""
    jwks_refresh_seconds: Seconds = 300.0
    issuer: str = ""
    audience: str = ""
    mid_claim: str = "mid"
    leeway_seconds: Share = 30.0
    require_exp: bool = True


class Nodes(Section, frozen=True):
    """What /goim/nodes/weighted tells clients."""

    default_domain: str = ""
    domain_suffix: str = ""
    tcp_port: int = 3101
    ws_port: int = 3102
    wss_port: int = 3103
    heartbeat_seconds: Seconds = 240.0
    heartbeat_max: Count = 2
    max_nodes: Count = 5
    region_weight: Seconds = 1.6
    backoff_max_delay: int = 300
    backoff_base_delay: int = 3
    backoff_factor: float = 1.8
    backoff_jitter: float = 0.3


class Job(Section, frozen=True):
    """The hands: how much is under way at once."""

    read_entries: Count = 256
    window_batches: Count = 8
    settle_seconds: Seconds = 10.0


class Broker(Section, frozen=True):
    """The queue between logic and job."""

    backend: Literal["memory", "sqlite", "redis"] = "redis"
    path: str = "var/imd.sqlite"
    partitions: Annotated[int, Meta(ge=1, le=1024)] = 4
    max_backlog_entries: Count = 1_000_000
    idempotency_seconds: Seconds = 86_400.0


class Presence(Section, frozen=True):
    """Who is connected where."""

    backend: Literal["memory", "redis"] = "redis"
    lease_seconds: Seconds = 30.0
    entry_seconds: Seconds = 3600.0


class Registry(Section, frozen=True):
    """Which processes exist."""

    backend: Literal["static", "zookeeper"] = "zookeeper"
    hosts: str = "127.0.0.1:2181"
    prefix: str = "/imd"
    session_seconds: Seconds = 10.0
    digest: str = ""
    digest_file: str = ""
    tls: bool = False
    ca_file: str = ""
    certificate: str = ""
    private_key: str = ""
    worker_id: Annotated[int, Meta(ge=0, le=1023)] = 0

    def __repr__(self) -> str:
        """Without the password."""
        return f"Registry(hosts={self.hosts!r}, prefix={self.prefix!r})"


class Redis(Section, frozen=True):
    """How Redis is reached by the broker and presence."""

    address: str = "127.0.0.1:6379"
    db: Annotated[int, Meta(ge=0)] = 0
    username: str = ""
    password: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    certificate: str = ""
    private_key: str = ""
    sentinels: tuple[str, ...] = ()
    sentinel_master: str = ""
    sentinel_password: str = ""
    sentinel_password_file: str = ""
    prefix: str = "imd"
    timeout_seconds: Seconds = 3.0
    connections: Count = 4

    def __repr__(self) -> str:
        """Without the passwords: settings may come into a log or a traceback."""
        return f"Redis(address={self.address!r}, prefix={self.prefix!r})"


class Rpc(Section, frozen=True):
    """ZeroMQ between comet, logic and job."""

    listen: str = "tcp://127.0.0.1:*"
    advertise: str = ""
    plaintext_on_network: bool = False
    curve_secret_key_file: str = ""
    curve_allowed_keys_file: str = ""
    deadline_seconds: Seconds = 5.0
    heartbeat_seconds: Seconds = 1.0
    high_water_mark: Count = 10_000
    max_message_bytes: Annotated[int, Meta(ge=65_536)] = 16_777_216


class Settings(Section, frozen=True):
    """The whole file."""

    server: Server = Server()
    log: Log = Log()
    admin: Admin = Admin()
    comet: Comet = Comet()
    rooms: dict[str, Room] = {}
    inboxes: Inboxes = Inboxes()
    timelines: Timelines = Timelines()
    devices: Devices = Devices()
    trace: Trace = Trace()
    logic: Logic = Logic()
    push: Push = Push()
    auth: Auth = Auth()
    nodes: Nodes = Nodes()
    regions: dict[str, tuple[str, ...]] = {}
    job: Job = Job()
    broker: Broker = Broker()
    presence: Presence = Presence()
    registry: Registry = Registry()
    redis: Redis = Redis()
    rpc: Rpc = Rpc()


# What differs from the defaults above by the process that reads the file.
ROLE_DEFAULTS: dict[Role, dict[str, dict[str, str]]] = {
    "imd": {
        "admin": {"listen": "127.0.0.1:3190"},
        "broker": {"backend": "sqlite"},
        "presence": {"backend": "memory"},
        "registry": {"backend": "static"},
    },
    "comet": {"admin": {"listen": "127.0.0.1:3191"}},
    "logic": {"admin": {"listen": "127.0.0.1:3192"}},
    "job": {"admin": {"listen": "127.0.0.1:3193"}},
}
