"""A file that the configuration names."""

from pathlib import Path

from imd.errors import ConfigError


def read_named(key: str, path: str) -> bytes:
    """Its bytes. Raises :class:`ConfigError` with the key when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{key} = {path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
