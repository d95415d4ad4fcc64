"""What clients are told before they connect, as goim tells it."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Instance
from imd.logic.balancer import Balancer
from imd.logic.nodes import Backoff, Nodes, NodesSettings
from imd.logic.region import Regions

ONE = Instance(
    "comet",
    "c1",
    5,
    "tcp://10.0.0.1:3109",
    hostname="one",
    region="eu",
    zone="z",
    env="prod",
    version="0.1.0",
    addrs=("192.0.2.1", "192.0.2.2"),
    weight=10,
    conn_count=7,
    ip_count=3,
    updated_at_ms=1_800_000_000_123,
)
TWO = Instance("comet", "c2", 5, "", hostname="two", addrs=("192.0.2.3",), weight=10, conn_count=900)
DRAINING = Instance("comet", "c3", 5, "", hostname="three", addrs=("192.0.2.4",), weight=10, offline=True)


class NodesTests(SynchronousTestCase):
    """Both answers, as bytes where bytes matter."""

    def nodes(self, *comets: Instance, settings: NodesSettings | None = None) -> Nodes:
        settings = settings or NodesSettings(default_domain="chat.example", domain_suffix=".chat.example")
        regions = Regions({"eu": ["198.51.100.0/24"]})
        nodes = Nodes(balancer=Balancer(region_weight=1.6), regions=regions, settings=settings)
        nodes.comets_changed(comets)
        return nodes

    def test_whole_answer(self) -> None:
        """Every field, with goim's names and defaults."""
        self.assertEqual(
            msgspec.json.decode(msgspec.json.encode(self.nodes(ONE).weighted("web", "198.51.100.1"))),
            {
                "domain": "chat.example",
                "tcp_port": 3101,
                "ws_port": 3102,
                "wss_port": 3103,
                "heartbeat": 240,
                "heartbeat_max": 2,
                "nodes": ["one.chat.example"],
                "backoff": {"max_delay": 300, "base_delay": 3, "factor": 1.8, "jitter": 0.3},
            },
        )

    def test_zero_values_left_out(self) -> None:
        """A port that is off, a back-off without jitter, a domain that there is none."""
        settings = NodesSettings(wss_port=0, backoff=Backoff(max_delay=300))
        answer = msgspec.json.encode(self.nodes(settings=settings).weighted("ios", "192.0.2.9"))
        self.assertEqual(
            answer, b'{"tcp_port":3101,"ws_port":3102,"heartbeat":240,"heartbeat_max":2,"backoff":{"max_delay":300}}'
        )

    def test_platforms(self) -> None:
        """The web gets host names, anything else every public address, best comet first."""
        self.assertEqual(self.nodes(ONE, TWO).weighted("web", "").nodes, ("one.chat.example", "two.chat.example"))
        self.assertEqual(self.nodes(ONE, TWO).weighted("", "").nodes, ("192.0.2.1", "192.0.2.2", "192.0.2.3"))

    def test_none(self) -> None:
        """Without comets, or with draining ones only, the default domain."""
        for comets in ((), (DRAINING,)):
            for platform in ("web", "android"):
                self.assertEqual(self.nodes(*comets).weighted(platform, "").nodes, ("chat.example",))

    def test_region_is_looked_up(self) -> None:
        """The client's address decides which comet is its own region's."""
        near = Instance("comet", "near", 5, "", hostname="near", region="eu", weight=10, conn_count=55)
        far = Instance("comet", "far", 5, "", hostname="far", region="us", weight=10, conn_count=45)
        self.assertEqual(self.nodes(near, far).weighted("web", "198.51.100.7").nodes[0], "near.chat.example")
        self.assertEqual(self.nodes(near, far).weighted("web", "203.0.113.7").nodes[0], "far.chat.example")

    def test_at_most_five(self) -> None:
        """Five comets at most, by default."""
        many = [Instance("comet", f"c{number}", 5, "", hostname=f"h{number}", weight=10) for number in range(9)]
        self.assertEqual(len(self.nodes(*many).weighted("web", "").nodes), 5)

    def test_instances(self) -> None:
        """goim's registry view: metadata are strings, draining comets are left out."""
        self.assertEqual(
            msgspec.json.decode(msgspec.json.encode(self.nodes(ONE, DRAINING).instances())),
            [
                {
                    "region": "eu",
                    "zone": "z",
                    "env": "prod",
                    "appid": "goim.comet",
                    "hostname": "one",
                    "addrs": ["tcp://10.0.0.1:3109"],
                    "version": "0.1.0",
                    "latest_timestamp": 1_800_000_000_123_000_000,
                    "metadata": {
                        "addrs": "192.0.2.1,192.0.2.2",
                        "conn_count": "7",
                        "ip_count": "3",
                        "offline": "false",
                        "weight": "10",
                    },
                }
            ],
        )
