"""What the messages of mini-block pages say of encodings; a column has hundreds of pages, whose messages differ in one number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lancelet.codecs.base import BlockCodec, ChunkCodec
from lancelet.codecs.registry import parse_as
from lancelet.errors import FormatError, UnsupportedError
from lancelet.levels.layers import max_def, max_rep, parse_layers
from lancelet.pb.encodings21_pb2 import MiniBlockLayout

if TYPE_CHECKING:
    from lancelet.levels.layers import Layer

__all__ = ["Form", "form_of"]

MAX_BUFFERS = 64

#: Larger messages, which have symbol tables, are not remembered.
_MOST_BYTES = 4096
_MOST_FORMS = 256
#: Message without the number of slots -> its form.
_forms: dict[bytes, Form] = {}


class Form(NamedTuple):
    """What a message says of every page of its form; the attributes are those of :class:`~lancelet.pages.miniblock.MiniBlock`."""

    layers: tuple[Layer, ...]
    rep_codec: BlockCodec | None
    def_codec: BlockCodec | None
    value_codec: ChunkCodec
    dictionary_codec: BlockCodec | None
    num_dictionary_items: int
    large: bool


def form_of(message: Any) -> Form:
    """Read what ``MiniBlockLayout`` says without its number of slots (structural.md 10, checks 3 to 6).

    Raises
    ------
    FormatError
        The message contradicts itself.
    UnsupportedError
        A repetition index deeper than 1, or an unknown encoding.
    """
    rest = MiniBlockLayout()
    rest.CopyFrom(message)
    rest.num_items = 0
    written = rest.SerializeToString()
    known = _forms.get(written)
    if known is not None:
        return known
    form = _parse(message)
    if len(written) <= _MOST_BYTES and not _has_plugin(message):
        if len(_forms) >= _MOST_FORMS:
            _forms.clear()
        _forms[written] = form
    return form


def _has_plugin(message: Any) -> bool:
    """Whether a codec from outside is named, which need not be the same for ever."""
    for field, value in message.ListFields():
        if field.name == "plugin":
            return True
        if field.message_type is not None:
            parts = (value,) if hasattr(value, "ListFields") else value
            if any(_has_plugin(part) for part in parts):
                return True
    return False


def _parse(message: Any) -> Form:
    layers = parse_layers(message.layers)
    has_lists = max_rep(layers) > 0
    _check_level_fields(message, layers)
    if not message.HasField("value_compression"):
        raise FormatError("a mini-block page does not say how its values are encoded")
    value_codec = parse_as(ChunkCodec, message.value_compression)
    if message.num_buffers != value_codec.num_buffers or message.num_buffers > MAX_BUFFERS:
        raise FormatError(
            f"chunks have {message.num_buffers} value buffers, and the encoding {value_codec.name!r} "
            f"needs {value_codec.num_buffers}"
        )
    return Form(
        layers=layers,
        rep_codec=parse_as(BlockCodec, message.rep_compression) if has_lists else None,
        def_codec=parse_as(BlockCodec, message.def_compression) if max_def(layers) > 0 else None,
        value_codec=value_codec,
        dictionary_codec=parse_as(BlockCodec, message.dictionary) if message.HasField("dictionary") else None,
        num_dictionary_items=message.num_dictionary_items,
        large=message.has_large_chunk,
    )


def _check_level_fields(message: Any, layers: tuple[Layer, ...]) -> None:
    has_lists = max_rep(layers) > 0
    if message.HasField("rep_compression") != has_lists:
        raise FormatError("repetition levels are stored in a page without lists, or are missing with them")
    if message.HasField("def_compression") != (max_def(layers) > 0):
        raise FormatError("definition levels are stored though no layer takes any, or are missing")
    if message.repetition_index_depth > 1:
        raise UnsupportedError(f"a repetition index of depth {message.repetition_index_depth}")
    if message.repetition_index_depth != int(has_lists):
        raise FormatError("a repetition index stands in a page without lists, or is missing with them")
