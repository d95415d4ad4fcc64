"""Documentation and code agree."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import get_args

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from imd.config import Role, load
from imd.config.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
ROLES: tuple[Role, ...] = get_args(Role)


class EtcTests(SynchronousTestCase):
    """etc/*.toml hold every key with its default."""

    def test_the_files_are_the_defaults(self) -> None:
        """Starting with a file from etc/ is starting without one."""
        for role in ROLES:
            with self.subTest(role=role):
                self.assertEqual(load(role, ROOT / "etc" / f"{role}.toml"), load(role))

    def test_every_key_of_a_section_is_there(self) -> None:
        """A file that has a section has all of it; imd.toml has every section."""
        kinds = {field.name: field.type for field in msgspec.structs.fields(Settings)}
        self.assertEqual(set(tomllib.loads((ROOT / "etc/imd.toml").read_text())), set(kinds))
        for role in ROLES:
            for section, keys in tomllib.loads((ROOT / "etc" / f"{role}.toml").read_text()).items():
                kind = kinds[section]
                if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                    with self.subTest(role=role, section=section):
                        self.assertEqual(set(keys), set(kind.__struct_fields__))

    def test_every_key_is_explained(self) -> None:
        """Each key, or the run of keys it stands in, has a comment above."""
        for role in ROLES:
            lines = (ROOT / "etc" / f"{role}.toml").read_text().splitlines()
            for above, line in pairwise(lines):
                if above.startswith("[") and re.match(r"[a-z_]+ = ", line):
                    self.fail(f"etc/{role}.toml: {above} {line}: no comment")

    def test_the_same_key_says_the_same_in_every_file(self) -> None:
        """A comment that changes in one file changes in all."""
        whole = set((ROOT / "etc/imd.toml").read_text().splitlines())
        for role in ROLES:
            for line in (ROOT / "etc" / f"{role}.toml").read_text().splitlines()[1:]:
                if line.startswith("#"):
                    self.assertIn(line, whole, f"etc/{role}.toml")
