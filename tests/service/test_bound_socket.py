"""Addresses taken while the operator looks on."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError
from imd.service.bound_socket import BoundSocket


class BoundSocketTests(SynchronousTestCase):
    """What is taken, and what is said when it cannot be."""

    def bound(self, text: str, reuse_port: bool = False) -> BoundSocket:
        """One that is closed after the test."""
        made = BoundSocket("comet.tcp", text, reuse_port=reuse_port)
        self.addCleanup(made.socket.close)
        return made

    def refused(self, text: str) -> str:
        """The words of the refusal."""
        return str(self.assertRaises(ConfigError, self.bound, text))

    def test_port_0_becomes_a_real_one(self) -> None:
        """And it is spelt as the configuration spells it."""
        made = self.bound("127.0.0.1:0")
        self.assertGreater(made.address.port, 0)
        self.assertEqual(str(made), f"127.0.0.1:{made.address.port}")

    def test_what_a_dead_process_left_is_replaced(self) -> None:
        """A unix socket without a listener behind it."""
        path = os.path.join(tempfile.mkdtemp(), "imd.sock")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        self.assertEqual(str(self.bound(f"unix:{path}")), f"unix:{path}")

    def test_a_file_is_kept(self) -> None:
        """A path that was written in the wrong place costs nobody a file."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = Path(folder) / "imd.toml"
        path.write_text("precious")
        with self.assertRaisesRegex(ConfigError, "address already in use"):
            BoundSocket("admin.listen", f"unix:{path}")
        self.assertEqual(path.read_text(), "precious")

    def test_a_port_in_use(self) -> None:
        """One line with the key, the address and what to do."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            text = f"127.0.0.1:{other.getsockname()[1]}"
            words = self.refused(text)
        self.assertEqual(
            words,
            f"comet.tcp = {text}: cannot listen there: address already in use; "
            "another process listens there; stop it or choose another port",
        )

    def test_a_unix_socket_in_use(self) -> None:
        """A living process keeps its path."""
        path = os.path.join(tempfile.mkdtemp(), "imd.sock")
        with socket.socket(socket.AF_UNIX) as living:
            living.bind(path)
            living.listen()
            self.assertIn("another process listens there", self.refused(f"unix:{path}"))
            self.assertTrue(os.path.exists(path))

    def test_addresses_that_are_not_ours(self) -> None:
        """An address of another machine, a name of none, a folder that is not there."""
        self.assertIn("no such address", self.refused("192.0.2.1:0"))
        self.assertIn("give an address of this machine", self.refused("no.such.host.invalid:0"))
        self.assertIn("the folder does not exist", self.refused("unix:/nonexistent/imd.sock"))
