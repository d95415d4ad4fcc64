"""Settings that are well-formed but cannot work, or must not be run."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config import Role, load
from imd.config.check import is_public
from imd.errors import ConfigError


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
