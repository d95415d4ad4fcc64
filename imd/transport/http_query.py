"""The query string, read as Go's servers read it, into a typed struct."""

import re
from collections.abc import Callable
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec.inspect import IntType, Metadata, StructType, Type, VarTupleType, type_info

from imd.errors import BadRequest
from imd.transport.http_fault import bad_value
from imd.transport.http_message import Request

T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R")

MAX_FIELDS = 20_000  # name=value pairs; the limit on the request line is usually reached first
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,64}")  # longer ones are no int64 whatever their zeros


def parse_query(raw: str) -> dict[str, list[str]]:
    """Every value of every name, in order; ``+`` is a space and commas do not split.

    Raises :class:`imd.errors.BadRequest` for a broken escape or text that is not UTF-8 (Go drops such a pair in silence: a push
    would reach fewer than it names).
    """
    fields: dict[str, list[str]] = {}
    pairs = raw.split("&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        raise BadRequest(f"query: more than {MAX_FIELDS} parameters")
    for pair in pairs:
        if pair:
            name, _, value = pair.partition("=")
            fields.setdefault(_unescape(name), []).append(_unescape(value))
    return fields


def _unescape(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise BadRequest("query: a % without two hexadecimal digits")
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise BadRequest("query: not UTF-8") from None


class QueryReader(Generic[T]):
    """Reads queries into one struct type, whose fields are ints, strings, or tuples of either.

    As goim's framework does: unknown names are ignored, of a repeated single parameter the first counts, an empty int is 0.
    """

    __slots__ = ("_kind", "_numbers", "_repeated", "_required")

    def __init__(self, kind: type[T]) -> None:
        info = type_info(kind)
        assert isinstance(info, StructType), kind
        types = {field.encode_name: _bare(field.type) for field in info.fields}
        self._kind = kind
        self._repeated = {name: isinstance(of, VarTupleType) for name, of in types.items()}  # every field of the struct
        self._required = [field.encode_name for field in info.fields if field.required]
        # the fields whose values are decimal
        self._numbers = {
            name
            for name, of in types.items()
            if isinstance(_bare(of.item_type) if isinstance(of, VarTupleType) else of, IntType)
        }

    def read(self, raw: str) -> T:
        """The struct. Raises :class:`imd.errors.BadRequest` naming the parameter."""
        given = parse_query(raw)
        values: dict[str, object] = {}
        for name, repeated in self._repeated.items():
            if name in given:
                texts = given[name] if repeated else given[name][:1]
                read = [_decimal(name, text) for text in texts] if name in self._numbers else texts
                values[name] = read if repeated else read[0]
        for name in self._required:
            if name not in values:
                raise BadRequest(f"{name}: required")
        try:
            return msgspec.convert(values, self._kind)
        except msgspec.ValidationError as error:
            raise bad_value(error) from None


def reading(kind: type[T], call: Callable[[Request, T], R]) -> Callable[[Request], R]:
    """A handler that calls ``call`` with the request and what its query says."""
    reader = QueryReader(kind)
    return lambda request: call(request, reader.read(request.query))


def _bare(of: Type) -> Type:
    """Without what is said about it for JSON Schema only."""
    return of.type if isinstance(of, Metadata) else of


def _decimal(name: str, text: str) -> int:
    if not text:
        return 0
    if not _DECIMAL.fullmatch(text):
        raise BadRequest(f"{name}: not a decimal integer")
    return int(text)
