"""A JSON body of version 2: its encoding, and its decoding, typed and within limits."""

from typing import ClassVar, Self

import msgspec

from imd.protocol.body import as_id, convert, decode_object


class JsonBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the bodies. A field without a default is always written, one with a default when it differs.

    Ids and member ids may pass 2**53, where JavaScript's numbers end: they are written as decimal strings, and read as strings
    or as numbers. Names match exactly, unknown ones are ignored, null is absent.
    """

    IDS: ClassVar[tuple[str, ...]] = ()  # the fields that are such ids

    def encode(self) -> bytes:
        """The body's bytes."""
        fields = msgspec.to_builtins(self)
        for name in self.IDS:
            if name in fields:
                fields[name] = str(fields[name])
        return msgspec.json.encode(fields)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The reverse of :meth:`encode`. Raises :class:`ProtocolError` (``BAD_BODY``) naming the field that is wrong."""
        fields = {name: value for name, value in decode_object(body).items() if value is not None}
        for name in cls.IDS:
            if name in fields:
                fields[name] = as_id(name, fields[name])
        value = convert(cls, fields)
        value.check()
        return value

    def check(self) -> None:
        """Raises :class:`ProtocolError` for what is against a limit that a type does not say."""
