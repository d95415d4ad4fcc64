"""From TOML, environment and command line to settings."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config import Role, Settings, load
from imd.errors import ConfigError


class LoadTests(SynchronousTestCase):
    """What ``load`` takes from where, and the one line that each fault gets."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def write(self, text: str) -> Path:
        self.path.write_text(text, encoding="utf-8")
        return self.path

    def refused(self, text: str = "", *, role: Role = "imd", sets: tuple[str, ...] = (), **environ: str) -> str:
        """The words of the refusal."""
        return str(self.assertRaises(ConfigError, load, role, self.write(text), environ, sets))

    def test_defaults_suit_each_role(self) -> None:
        """`twistd imd` needs no server; the parts of a cluster meet in Redis and ZooKeeper."""
        alone, cluster = load("imd"), load("logic")
        self.assertEqual(
            (alone.broker.backend, alone.presence.backend, alone.registry.backend), ("sqlite", "memory", "static")
        )
        self.assertEqual(
            (cluster.broker.backend, cluster.presence.backend, cluster.registry.backend),
            ("redis", "redis", "zookeeper"),
        )

    def test_the_later_source_wins(self) -> None:
        """File over default, environment over file, --set over environment."""
        path = self.write('[comet]\ntcp = "127.0.0.1:1"\nwebsocket = "127.0.0.1:1"\ntls = ""\nbuckets = 1')
        settings = load(
            "imd",
            path,
            {"IMD_COMET_TCP": "127.0.0.1:2", "IMD_COMET_WEBSOCKET": "127.0.0.1:2", "HOME": "/"},
            ["comet.websocket=127.0.0.1:3"],
        )
        self.assertEqual(
            (settings.comet.tcp, settings.comet.websocket, settings.comet.buckets),
            ("127.0.0.1:2", "127.0.0.1:3", 1),
        )

    def test_an_override_has_the_type_of_its_key(self) -> None:
        """Text stays text even when it looks like a number; numbers, flags, lists and tables are TOML."""
        settings = load(
            "imd",
            None,
            {"IMD_SERVER_ID": "7", "IMD_COMET_REUSE_PORT": "true", "IMD_SERVER_ADDRS": '["a", "b"]'},
            ["comet.buckets=8", "comet.heartbeat_seconds=1.5", "devices.per_platform={ ios = 1 }"],
        )
        self.assertEqual(settings.devices.per_platform, {"ios": 1})
        self.assertEqual((settings.server.id, settings.server.addrs), ("7", ("a", "b")))
        self.assertEqual(
            (settings.comet.reuse_port, settings.comet.buckets, settings.comet.heartbeat_seconds), (True, 8, 1.5)
        )

    def test_an_unknown_name_is_refused_with_the_nearest(self) -> None:
        """In the file, in a list of tables, in the environment, on the command line; all of a file's at once."""
        both = self.refused("[commet]\n[comet]\ntpc = 1\n")
        self.assertEqual(
            both.splitlines(),
            [
                f"{self.path}: commet: no such section; did you mean comet?",
                f"{self.path}: comet.tpc: no such key; did you mean comet.tcp?",
            ],
        )
        self.assertIn(
            "push.keys[1].nmae: no such key", self.refused('[[push.keys]]\nname="a"\n[[push.keys]]\nnmae="b"')
        )
        self.assertIn("IMD_COMET_TPC: no such key; did you mean comet.tcp?", self.refused(IMD_COMET_TPC="x"))
        self.assertIn("IMD_COMMET_TCP: no such section", self.refused(IMD_COMMET_TCP="x"))
        self.assertIn("--set x.y: no such section", self.refused(sets=("x.y=1",)))

    def test_a_wrong_value_is_refused_with_what_would_be_right(self) -> None:
        """Type, range and choice, each in the words of the file."""
        for text, words in (
            ("[comet]\ntcp = 5", "comet.tcp: must be a text, not a whole number"),
            ("[comet]\nbuckets = 0", "comet.buckets: must be a whole number >= 1"),
            ("[comet]\nreuse_port = 1", "comet.reuse_port: must be true or false"),
            ("[comet]\nheartbeat_seconds = -1", "comet.heartbeat_seconds: must be a number > 0"),
            ("[auth]\nmode = 'tokn'", "auth.mode: must be one of trust, token"),
            ("comet = 3", "comet: is a table: write [comet]"),
            ("[rooms.live]\nslow_policy = 'drop'", "rooms.live.slow_policy: must be one of disconnect"),
            ("[rooms.live]\nkeep = 1", "rooms.live.keep: must be true or false, not a whole number"),
            ("[rooms.live]\ncount = 0", "rooms.live.count: must be a whole number >= 1"),
            ("[rooms]\nlive = true", "rooms.live: must be a table, not true or false"),
            ("[devices]\nper_platform = 'ios'", "devices.per_platform: must be a table, not a text"),
            ("[devices.per_platform]\nios = -1", "devices.per_platform[...]: must be a whole number >= 0"),
            ("[[push.keys]]\nname='a'\nsha256='b'", "64 hexadecimal digits"),
            ("x = [", "is not TOML"),
            (
                "[push]\nkeys = []\n[[push.keys]]\nname = 'a'",
                "is not TOML: push.keys has a value above already; take that",
            ),
        ):
            with self.subTest(text=text):
                self.assertIn(f"{self.path}: {words}" if ":" in words else words, self.refused(text))
        self.assertIn("IMD_COMET_BUCKETS=x: must be a whole number", self.refused(IMD_COMET_BUCKETS="x"))
        self.assertIn("give section.key=value", self.refused(sets=("comet",)))

    def test_all_wrong_values_at_once(self) -> None:
        """A line each, so that nobody mends a file in ten starts."""
        refusal = self.refused("[comet]\ntcp = 5\nbuckets = 0\n[log]\nlevel = 'loud'\n[regions]\neu = 5")
        self.assertEqual(
            [line.removeprefix(f"{self.path}: ").partition(":")[0] for line in refusal.splitlines()],
            ["comet.tcp", "comet.buckets", "log.level", "regions.eu"],
        )

    def test_tables_of_free_names(self) -> None:
        """A room type and a region are whatever they are called; one can be set whole, by whatever sets a key."""
        path = self.write("[rooms.live]\nkeep = true\n[rooms.'a b']\njoin = 'members'\n[rooms.'']\ncount = 2")
        settings = load("imd", path, {"IMD_ROOMS_SCORE": "{ count = 1 }"}, ["regions.eu=['10.0.0.0/8']"])
        self.assertEqual(
            {name: (room.keep, room.count, room.join) for name, room in settings.rooms.items()},
            {
                "live": (True, 1000, "anyone"),
                "a b": (False, 1000, "members"),
                "": (False, 2, "anyone"),
                "score": (False, 1, "anyone"),
            },
        )
        self.assertEqual(settings.regions, {"eu": ("10.0.0.0/8",)})
        self.assertEqual(load("imd", path, {}, ["rooms.live={ count = 5 }"]).rooms["live"].keep, False)

    def test_an_unknown_name_below_a_free_one(self) -> None:
        """Named with its type, in the file and in an override; what is no table is told how to be one."""
        self.assertIn(
            "rooms.live.keeep: no such key; did you mean rooms.live.keep?", self.refused("[rooms.live]\nkeeep = 1")
        )
        words = "rooms.live.kep: no such key; did you mean rooms.live.keep?"
        self.assertIn(f"--set rooms.live: {words}", self.refused(sets=("rooms.live={ kep = true }",)))
        self.assertIn("must be a table: rooms.live={ key = value", self.refused(sets=("rooms.live=true",)))
        self.assertIn("must be true or false", self.refused(sets=("rooms.live={ keep = 3 }",)))

    def test_a_fault_is_where_its_value_is(self) -> None:
        """An impossible value from the environment or the command line is not looked for in the file."""
        wrong = "1:2:3: an address is"
        self.assertIn(f"{self.path}: comet.tcp: {wrong}", self.refused("[comet]\ntcp = '1:2:3'"))
        self.assertIn(f"IMD_COMET_TCP: comet.tcp: {wrong}", self.refused(IMD_COMET_TCP="1:2:3"))
        self.assertIn(f"--set: comet.tcp: {wrong}", self.refused(sets=("comet.tcp=1:2:3",), IMD_COMET_TCP="1:2"))
        off = ("comet.tcp=", "comet.websocket=")
        self.assertIn(f"{self.path}: comet: nowhere to listen", self.refused(sets=off))

    def test_a_file_that_is_not_there(self) -> None:
        """Its path and why."""
        error = self.assertRaises(ConfigError, load, "imd", Path("/nonexistent/imd.toml"))
        self.assertEqual(str(error), "/nonexistent/imd.toml: cannot be read: No such file or directory")

    def test_settings_are_frozen(self) -> None:
        """Nobody changes them behind another's back."""
        settings: Settings = load("imd")
        with self.assertRaises(AttributeError):
            settings.comet.buckets = 1  # type: ignore[misc]  # that is the point
