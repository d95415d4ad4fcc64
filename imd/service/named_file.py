"""A file that the configuration names."""

from pathlib import Path

from imd.errors import ConfigError


def read_named(key: str, path: str) -> bytes:
    """Its bytes. Raises :class:`ConfigError` with the key when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{key} = {path}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def read_secret(key: str, path: str) -> str:
    """The words in it, without the end of line; none when ``path`` is empty. Raises as :func:`read_named`."""
    try:
        return read_named(key, path).decode("utf-8").strip() if path else ""
    except UnicodeDecodeError:
        raise ConfigError(f"{key} = {path}: is not UTF-8 text") from None
