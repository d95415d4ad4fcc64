"""TOML and environment to frozen settings: what there is (settings), how it is read (reading), what cannot be (check)."""

from imd.config.reading import load
from imd.config.settings import Role, Settings

__all__ = ["Role", "Settings", "load"]
