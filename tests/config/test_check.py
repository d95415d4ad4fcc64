"""Settings that are well-formed but cannot work, or must not be run."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config import Role, load
from imd.config.check import MERGED_BYTES, is_public
from imd.errors import ConfigError
from imd.job.batch import MAX_MERGED_BYTES


class FaultTests(SynchronousTestCase):
    """Each impossible or unsafe pair is refused before anything listens."""

    def refused(self, role: Role, *sets: str) -> str:
        """The words of the refusal."""
        return str(self.assertRaises(ConfigError, load, role, None, {}, sets))

    def test_trust_listens_on_loopback_only(self) -> None:
        """On any public listener, until forced by the setting that says what it does."""
        for key in ("comet.tcp", "comet.websocket", "logic.http"):
            with self.subTest(key=key):
                words = self.refused("imd", f"{key}=0.0.0.0:0")
                self.assertIn(f"{key} = 0.0.0.0:0", words)
                self.assertIn("auth.allow_trust_on_public_address", words)
                load("imd", None, {}, [f"{key}=0.0.0.0:0", "auth.allow_trust_on_public_address=true"])
        self.assertIn("logic.http", self.refused("logic", "logic.http=192.0.2.1:80"))

    def test_loopback(self) -> None:
        """What only this machine reaches."""
        for text in ("127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/x"):
            self.assertFalse(is_public(text), text)
        for text in ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.com:1"):
            self.assertTrue(is_public(text), text)

    def test_clients_come_by_addresses(self) -> None:
        """A unix socket is for HTTP: a client is limited by its IP, and would have none."""
        for key in ("comet.tcp", "comet.websocket", "comet.tls", "comet.websocket_tls"):
            self.assertIn(f"{key} = unix:/run/x: clients have addresses", self.refused("imd", f"{key}=unix:/run/x"))
        load("imd", None, {}, ["logic.http=unix:/run/x", "admin.listen=unix:/run/y"])

    def test_tls_needs_its_files(self) -> None:
        """Both are named, and both must be there."""
        words = self.refused("comet", "comet.tls=127.0.0.1:0")
        self.assertIn("comet.certificate: needed", words)
        self.assertIn("comet.private_key: needed", words)
        words = self.refused(
            "comet", "comet.tls=127.0.0.1:0", "comet.certificate=/no/c.pem", f"comet.private_key={__file__}"
        )
        self.assertIn("comet.certificate: no such file: /no/c.pem", words)

    def test_a_cluster_needs_shared_backends(self) -> None:
        """What lives in one process is refused in a part of a cluster, with what to use instead."""
        self.assertIn("use broker.backend = redis", self.refused("job", "broker.backend=sqlite"))
        self.assertIn("use presence.backend = redis", self.refused("logic", "presence.backend=memory"))
        self.assertIn("use registry.backend = zookeeper", self.refused("comet", "registry.backend=static"))

    def test_rpc_is_not_open_to_the_network(self) -> None:
        """Plaintext beyond loopback is forced or CURVE is set; a wildcard needs a name that peers can dial."""
        words = self.refused("comet", "rpc.listen=tcp://0.0.0.0:3109")
        self.assertIn("rpc.advertise", words)
        self.assertIn("rpc.plaintext_on_network", words)
        load("comet", None, {}, ["rpc.listen=tcp://10.0.0.5:3109", "rpc.plaintext_on_network=true"])
        self.assertIn("tcp://HOST:PORT", self.refused("logic", "rpc.listen=127.0.0.1:3119"))
        self.assertIn("no such file", self.refused("logic", "rpc.curve_secret_key_file=/no/key"))

    def test_tokens_need_keys(self) -> None:
        """Without any nobody could come in; keys do not travel in clear."""
        self.assertIn("needs auth.keys or auth.jwks", self.refused("logic", "auth.mode=token"))
        self.assertIn("use https://", self.refused("logic", "auth.mode=token", "auth.jwks=http://a/jwks"))
        self.assertIn("neither a URL nor a file", self.refused("logic", "auth.mode=token", "auth.jwks=/no/jwks"))

    def test_the_lease_outlasts_a_lost_renewal(self) -> None:
        """Else one lost message hides every client of a comet."""
        self.assertIn("at least twice", self.refused("imd", "presence.lease_seconds=15"))

    def test_redis(self) -> None:
        """Passwords come once; sentinels need the master's name; files must be there."""
        path = self.mktemp()
        Path(path).write_text("secret")
        words = self.refused("logic", "redis.password=a", f"redis.password_file={path}")
        self.assertIn("given twice", words)
        self.assertIn("redis.sentinel_master", self.refused("logic", 'redis.sentinels=["a:1"]'))
        self.assertIn("redis.ca_file: no such file", self.refused("job", "redis.ca_file=/no/ca"))
        self.assertIn("redis.username: needs", self.refused("job", "redis.username=a"))

    def test_addresses_of_redis(self) -> None:
        """What is no address is said before anything starts, for Sentinels too."""
        self.assertIn("redis.address: nonsense: an address is", self.refused("logic", "redis.address=nonsense"))
        sentinels = ('redis.sentinels=["one:1","two"]', "redis.sentinel_master=m")
        self.assertIn("redis.sentinels: two: an address is", self.refused("job", *sentinels))

    def test_zookeeper(self) -> None:
        """The digest comes once, as user and password; a certificate has its key, files are there."""
        path = self.mktemp()
        Path(path).write_text("imd:secret")
        words = self.refused("comet", "registry.digest=imd:a", f"registry.digest_file={path}")
        self.assertIn("registry.digest: given twice", words)
        for digest in ("imd", "imd:", ":a"):
            self.assertIn("USER:PASSWORD", self.refused("job", f"registry.digest={digest}"))
        self.assertIn("registry.digest_file: no such file", self.refused("job", "registry.digest_file=/no/digest"))
        self.assertIn("registry.ca_file: no such file", self.refused("logic", "registry.ca_file=/no/ca"))
        self.assertIn("one needs the other", self.refused("logic", f"registry.certificate={path}"))
        load("imd", None, {}, ["registry.digest_file=/no/digest"])  # nobody asks ZooKeeper there

    def test_one_process_for_itself(self) -> None:
        """The parts of `twistd imd` talk within it: others must not be told of them."""
        self.assertIn("keep static", self.refused("imd", "registry.backend=zookeeper"))

    def test_no_address_at_all(self) -> None:
        """A comet that nobody can reach says so."""
        self.assertIn("nowhere to listen", self.refused("comet", "comet.tcp=", "comet.websocket="))

    def test_push_without_keys_stays_at_home(self) -> None:
        """A public listener cannot be told to need no key."""
        words = self.refused("logic", "logic.http=0.0.0.0:1", "push.require_key=never")
        self.assertIn("lets anybody push", words)

    def test_a_type_is_what_stands_before_the_name(self) -> None:
        """A room type with the separator in it, or longer than an id may be, is no room's."""
        self.assertIn("write rooms.live", self.refused("comet", "rooms.live://1={ keep = true }"))
        self.assertIn("more than 252 bytes", self.refused("logic", f"rooms.{'x' * 253}={{ keep = true }}"))
        load("imd", None, {}, [f"rooms.{'x' * 252}={{ keep = true }}"])

    def test_granted_needs_tokens(self) -> None:
        """Nobody is granted a room where nobody shows a token; a comet does not know how logic authenticates."""
        words = self.refused("imd", "rooms.live={ join = 'granted' }")
        self.assertIn('rooms.live.join = "granted": with auth.mode = trust', words)
        load("comet", None, {}, ["rooms.live={ join = 'granted' }"])

    def test_a_timeline_outlives_its_messages(self) -> None:
        """An age above the time after which a timeline is forgotten could not be kept; what is not kept has none."""
        self.assertIn(
            "rooms.live.age_seconds = 9e+06: a timeline is forgotten timelines.head_seconds = 7.776e+06",
            self.refused("logic", "rooms.live={ keep = true, age_seconds = 9000000 }"),
        )
        self.assertIn("inboxes.age_seconds = 604800", self.refused("imd", "timelines.head_seconds=1000"))
        load("imd", None, {}, ["timelines.head_seconds=1000", "inboxes.keep=false"])

    def test_the_largest_push_fits_everywhere(self) -> None:
        """In a request, in a client's outbox, and in a message between processes."""
        self.assertIn("give at least 88405", self.refused("logic", "logic.max_request_bytes=80000"))
        self.assertEqual(MERGED_BYTES, MAX_MERGED_BYTES)
        self.assertIn("give at least 66560", self.refused("comet", "comet.outbox_bytes=65536"))
        big = "push.max_body_bytes=8000000"
        words = self.refused("imd", big)
        for key in ("logic.max_request_bytes", "comet.outbox_bytes", "rpc.max_message_bytes"):
            self.assertIn(f"{key} = ", words)
        more = ["comet.outbox_bytes=9000000", "rpc.max_message_bytes=20000000", "logic.max_request_bytes=11000000"]
        load("imd", None, {}, [big, *more])
