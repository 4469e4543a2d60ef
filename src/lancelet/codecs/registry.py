"""Codecs by the name of their message.

The built-in codecs are the members of ``CompressiveEncoding``; their modules load when the first message is parsed. A codec from
outside has a message of its own, travels as ``Any`` in the member ``plugin`` and is found by the name in the type URL::

    @register
    @dataclass(frozen=True, slots=True)
    class Rot13(ValueCodec):
        name = "example.Rot13"
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from lancelet.codecs.base import BlockCodec, ChunkCodec, Codec, ValueCodec
from lancelet.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from lancelet.pb.encodings21_pb2 import CompressiveEncoding

__all__ = ["parse", "parse_as", "register"]

MAX_DEPTH = 8

_MODULES = {
    "flat": "flat",
    "variable": "binary",
    "constant": "constant",
    "out_of_line_bitpacking": "bitpack",
    "inline_bitpacking": "bitpack",
    "fsst": "fsst",
    "rle": "rle",
    "byte_stream_split": "bss",
    "general": "general",
    "fixed_size_list": "fsl",
    "packed_struct": "packed",
    "variable_packed_struct": "packed",
}
_codecs: dict[str, type[Codec]] = {}
#: Built-in ones whose modules are known to be complete.
_complete: set[str] = set()

C = TypeVar("C", bound=type[Codec])
Role = TypeVar("Role", ChunkCodec, ValueCodec, BlockCodec)


def register(codec: C) -> C:
    """Class decorator: make `codec` known under its ``name``. A name is taken once."""
    known = _codecs.setdefault(codec.name, codec)
    if known.__qualname__ != codec.__qualname__ or known.__module__ != codec.__module__:
        raise ValueError(f"two codecs have the name {codec.name!r}: {known} and {codec}")
    _codecs[codec.name] = codec
    return codec


def _find(name: str) -> type[Codec]:
    if name not in _complete and name in _MODULES:
        # A codec is known before the rest of its module, which another thread may be importing now; the import waits for it.
        import_module(f"lancelet.codecs.{_MODULES[name]}")
        _complete.add(name)
    try:
        return _codecs[name]
    except KeyError:
        raise UnsupportedError(f"the encoding {name!r} is not known here") from None


def parse(message: CompressiveEncoding, depth: int = 0) -> Codec:
    """Make the codec that `message` describes.

    Raises
    ------
    FormatError
        Nothing is set, the nesting is deeper than :data:`MAX_DEPTH`, or a parameter is impossible.
    UnsupportedError
        No codec of this name is registered.
    """
    if depth >= MAX_DEPTH:
        raise FormatError(f"encodings nest deeper than {MAX_DEPTH} levels")
    name = message.WhichOneof("compression")
    if name is None:
        raise UnsupportedError("an encoding is empty, or newer than this release knows")
    member = getattr(message, name)
    if name == "plugin":
        name = member.type_url.rpartition("/")[2]
        member = member.value
    return _find(name).from_message(member, lambda child: parse(child, depth + 1))


def parse_as(role: type[Role], message: CompressiveEncoding) -> Role:
    """Like :func:`parse`, and the codec must have the role that its place asks for."""
    codec = parse(message)
    if not isinstance(codec, role):
        raise UnsupportedError(f"the encoding {codec.name!r} cannot stand where a {role.__name__} is needed")
    return codec
