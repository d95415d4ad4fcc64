"""A Lua script that Redis runs as one atomic step."""

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class RedisScript:
    """Its text, and the digest that Redis knows it by."""

    text: bytes
    digest: str  # SHA-1 in hex


def load_script(*names: str) -> RedisScript:
    """``lua/<name>.lua`` of each name, joined: what comes first may define functions for what follows."""
    folder = files("imd.backend").joinpath("lua")
    text = b"\n".join(folder.joinpath(f"{name}.lua").read_bytes() for name in names)
    # SHA-1 is how Redis names scripts; nothing is secured by it.
    return RedisScript(text, sha1(text, usedforsecurity=False).hexdigest())
