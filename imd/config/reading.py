"""TOML, environment and command line into frozen settings. What cannot be right is refused, by file, key path and remedy."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from imd.config.check import faults
from imd.config.settings import ROLE_DEFAULTS, Role, Section, Settings
from imd.errors import ConfigError

ENVIRONMENT_PREFIX = "IMD_"
_Tree = dict[str, Any]


def load(
    role: Role, path: Path | None = None, environ: Mapping[str, str] | None = None, sets: Sequence[str] = ()
) -> Settings:
    """The settings of one process: defaults, then the file, then ``IMD_<SECTION>_<KEY>``, then ``section.key=value``.

    Raises :class:`ConfigError` whose message has one line a fault: where it stands, what is wrong, what would be right.
    """
    source = str(path) if path else "defaults"
    overrides: dict[str, str] = {}  # key path -> where its value comes from, when not from the file
    tree: _Tree = {section: dict(keys) for section, keys in ROLE_DEFAULTS[role].items()}
    if path is not None:
        _merge(tree, _read(path), source)
    for name, value in sorted((environ or {}).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
            _put(tree, name, section, key, value)
            overrides[f"{section}.{key}"] = name
    for pair in sets:
        name, equals, value = pair.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot):
            raise ConfigError(f"--set {pair}: give section.key=value, for example --set comet.tcp=127.0.0.1:3101")
        _put(tree, f"--set {name}", section, key, value)
        overrides[f"{section}.{key}"] = "--set"
    settings = _convert(tree, source)
    wrong = faults(settings, role)
    if wrong:
        raise ConfigError("\n".join(f"{overrides.get(_key_of(fault), source)}: {fault}" for fault in wrong))
    return settings


def _key_of(fault: str) -> str:
    """The key path that a fault begins with; empty when it is about several."""
    path = re.match(r"\w+\.\w+", fault)
    return path[0] if path else ""


def _read(path: Path) -> _Tree:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {_TWICE.sub(_given_twice, str(error))}") from None


# `[[push.keys]]`, as `imdctl new-push-key` prints it, below the `keys = []` of etc/logic.toml
_TWICE = re.compile(r"Cannot mutate immutable namespace \((.*?),?\)")


def _given_twice(words: re.Match[str]) -> str:
    name = words[1].replace("'", "").replace(", ", ".")
    return f"{name} has a value above already; take that line out"


def _merge(tree: _Tree, file: _Tree, source: str) -> None:
    unknown = list(_unknown(Settings, file, ""))
    if unknown:
        raise ConfigError("\n".join(f"{source}: {line}" for line in unknown))
    for section, keys in file.items():
        if not isinstance(keys, dict):
            raise ConfigError(f"{source}: {section}: is a table: write [{section}]")
        tree.setdefault(section, {}).update(keys)


def _unknown(kind: type[Section], table: _Tree, where: str) -> Iterator[str]:
    """One line for each key that nobody reads, with the nearest one that somebody does."""
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in fields:
            noun = "key" if where else "section"
            yield f"{where}{key}: no such {noun}{_nearest(key, list(fields), where)}"
            continue
        child = _section(fields[key])
        if child is not None:
            for path, row in _rows(fields[key], value, f"{where}{key}"):
                yield from _unknown(child, row, f"{path}.")


def _rows(kind: Any, value: Any, where: str) -> Iterator[tuple[str, _Tree]]:
    """(key path, table) of each table that a value of this kind holds; what is none is for :func:`_wrong` to name."""
    rows = [(where, value)]
    if _free_names(kind) and isinstance(value, dict):
        rows = [(f"{where}.{name}", row) for name, row in value.items()]
    elif isinstance(value, list):
        rows = [(f"{where}[{number}]", row) for number, row in enumerate(value)]
    return ((path, row) for path, row in rows if isinstance(row, dict))


def _free_names(kind: Any) -> bool:
    """Whether it is a table whose keys are the user's own."""
    return get_origin(kind) is dict


def _section(kind: Any) -> type[Section] | None:
    """The table that a field holds, or holds several of."""
    if get_origin(kind) in (tuple, dict):
        kind = get_args(kind)[-1 if _free_names(kind) else 0]
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _nearest(name: str, names: list[str], where: str = "") -> str:
    near = get_close_matches(name, names, n=1)
    return f"; did you mean {where}{near[0]}?" if near else f"; there are {', '.join(sorted(names))}"


def _put(tree: _Tree, source: str, section: str, key: str, text: str) -> None:
    """One override: text for a text key, else a TOML value."""
    sections = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    if section not in sections:
        raise ConfigError(f"{source}: no such section{_nearest(section, list(sections))}")
    kind = _override_type(source, section, sections[section], key)
    tree.setdefault(section, {})[key] = _read_override(source, f"{section}.{key}.", kind, text)


def _override_type(source: str, section: str, kind: Any, key: str) -> Any:
    """What the value of an override must be. In a table of free names any key is one: a room's type, say."""
    if _free_names(kind):
        return get_args(kind)[1]
    keys = {field.name: field.type for field in msgspec.structs.fields(kind)}
    if key not in keys:
        raise ConfigError(f"{source}: no such key{_nearest(key, list(keys), f'{section}.')}")
    return keys[key]


def _read_override(source: str, where: str, kind: Any, text: str) -> Any:
    try:
        msgspec.convert(text, kind)
        return text
    except msgspec.ValidationError:
        pass
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table = _section(kind)
    if table is not None and not isinstance(value, dict | list):
        raise ConfigError(f"{source}={text}: must be a table: {where[:-1]}={{ key = value, … }}")
    unknown = list(_unknown(table, value, where)) if table is not None and isinstance(value, dict) else []
    if unknown:
        raise ConfigError("\n".join(f"{source}: {line}" for line in unknown))
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}={text}: {_plain(error, kind)}") from None
    return value


def _convert(tree: _Tree, source: str) -> Settings:
    try:
        return msgspec.convert(tree, Settings)
    except msgspec.ValidationError:
        wrong = [line for section, keys in tree.items() for item in keys.items() for line in _wrong(section, *item)]
        raise ConfigError("\n".join(f"{source}: {line}" for line in wrong)) from None


def _wrong(section: str, key: str, value: Any) -> Iterator[str]:
    """A line if the value cannot be that key's; of a table below a free name, for each of its own."""
    free = _free_names(_type_at(section))
    tables = [{name: item} for name, item in value.items()] if free and isinstance(value, dict) else [value]
    for each in tables:
        try:
            msgspec.convert({section: {key: each}}, Settings)
        except msgspec.ValidationError as error:
            path = str(error).partition(" - at `$")[2].rstrip("`").lstrip(".")
            words = _plain(error, _type_at(path))
            yield f"{path.replace('[...]', f'.{key}', 1) if free else path}: {words}"


def _type_at(path: str) -> Any:
    """The declared type of a key path such as ``push.keys[0].name`` or ``rooms[...].keep``."""
    kind: Any = Settings
    for name in re.sub(r"\[[^]]*\]", "", path).split("."):
        table = _section(kind)
        if table is None:
            return None
        kind = next((field.type for field in msgspec.structs.fields(table) if field.name == name), None)
    return kind


def _plain(error: msgspec.ValidationError, kind: Any) -> str:
    """msgspec's words without its path, in the file's terms."""
    if get_origin(kind) is dict and "[...]" in str(error):
        kind = get_args(kind)[1]
    if get_origin(kind) in (Union, UnionType):  # with None, which is no value in TOML: the key is left out
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return f"must be one of {', '.join(get_args(kind))}"
    words = str(error).partition(" - at `$")[0].replace("`", "")
    for theirs, ours in _WORDS.items():
        words = words.replace(theirs, ours)
    return words


_WORDS = {
    "Expected": "must be",
    ", got": ", not",
    " str": " a text",
    " int": " a whole number",
    " float": " a number",
    " bool": " true or false",
    " array": " a list",
    " object": " a table",
    "matching regex '^[0-9a-f]{64}$'": "of 64 hexadecimal digits, as imdctl new-push-key prints it",
}
