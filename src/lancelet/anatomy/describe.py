"""Page encodings as short text and as plain values, from their messages alone.

Nothing here needs a codec or a layout to be readable: what is not known is shown by the name of its message.

=====================================================  =======================================================
text                                                   meaning
=====================================================  =======================================================
``flat(32)``                                           plain values of 32 bits
``inline_bitpacking(32)``                              packed, the width stored in each chunk
``out_of_line_bitpacking(16, flat(3))``                packed, 3 bits each
``variable(32)``                                       bytes with plain offsets of 32 bits
``fsst(variable(32))``                                 what is inside of the parentheses, compressed with FSST
``lz4(flat(64))``, ``zstd(...)``                       a whole buffer compressed by a general compressor
``rle(flat(32))``                                      values of runs; lengths are shown unless they are ``flat(8)``
``fixed_size_list(3 x flat(32))``                      three items a value
``dictionary(1203 x lz4(variable(32)))``               1203 distinct values, so encoded; what follows are indices
=====================================================  =======================================================

Sources: structural.md 3 and 5 to 7, compressors.md 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from lancelet.errors import FormatError
from lancelet.pages.registry import PAGE_LAYOUT
from lancelet.pb.encodings21_pb2 import BufferCompression, CompressiveEncoding, PageLayout, RepDefLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lancelet.container.metadata import PageMetadata

__all__ = ["CodecAnatomy", "PageAnatomy", "describe_codec", "describe_page"]

_SCHEMES = {
    BufferCompression.COMPRESSION_ALGORITHM_LZ4: "lz4",
    BufferCompression.COMPRESSION_ALGORITHM_ZSTD: "zstd",
}


@dataclass(frozen=True, slots=True)
class CodecAnatomy:
    """One codec and the codecs inside of it.

    Attributes
    ----------
    name
        Member of ``CompressiveEncoding`` (``"flat"``), or the full name of a plug-in's message.
    text
        Short form, such as ``fsst(variable(32))``.
    params
        Parameters by name: numbers, text, or lists of numbers.
    parts
        The codecs inside, by their role (``"values"``, ``"offsets"``).
    """

    name: str
    text: str
    params: dict[str, Any]
    parts: dict[str, CodecAnatomy]

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "codec": self.name,
            **self.params,
            **{role: part.to_dict() for role, part in self.parts.items()},
        }


@dataclass(frozen=True, slots=True)
class PageAnatomy:
    """How one page is encoded.

    Attributes
    ----------
    layout
        ``mini-block``, ``full-zip``, ``constant``, ``all-null``, ``blob``, or the full name of an unknown message.
    codecs
        Codecs by their role: ``values``, ``dictionary``, ``rep``, ``def``.
    layers
        Layers of structure, from the innermost outwards, such as ``nullable_item``.
    num_items
        Items of the page where the layout counts them, else ``None``. In a list column a row has any number of items.
    num_dictionary_items
        Values of the dictionary; 0 without one.
    inner
        The page inside of a ``blob``, else ``None``.
    """

    layout: str
    codecs: dict[str, CodecAnatomy]
    layers: tuple[str, ...] = ()
    num_items: int | None = None
    num_dictionary_items: int = 0
    inner: PageAnatomy | None = None

    @property
    def values_text(self) -> str:
        """Codecs of the values; empty where the page stores none."""
        if self.inner is not None:
            return str(self.inner)
        parts = []
        if "dictionary" in self.codecs:
            parts.append(f"dictionary({self.num_dictionary_items} x {self.codecs['dictionary']})")
        if "values" in self.codecs:
            parts.append(str(self.codecs["values"]))
        return " ".join(parts)

    @property
    def levels_text(self) -> str:
        """Codecs of repetition and definition levels; empty where there are no levels."""
        return " ".join(f"{role} {self.codecs[role]}" for role in ("rep", "def") if role in self.codecs)

    def __str__(self) -> str:
        return f"{self.layout} {self.values_text}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        result: dict[str, Any] = {"layout": self.layout, "layers": list(self.layers)}
        if self.num_items is not None:
            result["num_items"] = self.num_items
        if self.num_dictionary_items:
            result["num_dictionary_items"] = self.num_dictionary_items
        result.update({role: codec.to_dict() for role, codec in self.codecs.items()})
        if self.inner is not None:
            result["inner"] = self.inner.to_dict()
        return result


def describe_page(page: PageMetadata) -> PageAnatomy:
    """Describe the encoding of `page`; its buffers are not read.

    Raises
    ------
    FormatError
        The message of the page cannot be parsed.

    Examples
    --------
    >>> from lancelet.container.metadata import PageMetadata
    >>> describe_page(PageMetadata((), 5, 0, "example.Layout", b"")).layout
    'example.Layout'
    """
    if page.type_name != PAGE_LAYOUT:
        return PageAnatomy(page.type_name, {})
    try:
        message = PageLayout.FromString(page.encoding)
    except DecodeError as error:
        raise FormatError(f"the page's layout cannot be parsed: {error}") from None
    return _describe_layout(message, len(page.buffers))


def _describe_layout(message: PageLayout, num_buffers: int) -> PageAnatomy:
    member = message.WhichOneof("layout")
    if member is None:
        return PageAnatomy("unknown", {})
    return _LAYOUTS[member](getattr(message, member), num_buffers)


def _mini_block(message: Any, _num_buffers: int) -> PageAnatomy:
    return PageAnatomy(
        "mini-block",
        _codecs(message, values="value_compression", dictionary="dictionary", **_LEVELS),
        _layer_names(message.layers),
        message.num_items,
        message.num_dictionary_items if message.HasField("dictionary") else 0,
    )


def _full_zip(message: Any, _num_buffers: int) -> PageAnatomy:
    codecs = _codecs(message, values="value_compression")
    for role, bits in (("rep", message.bits_rep), ("def", message.bits_def)):
        if bits:
            codecs[role] = CodecAnatomy("control_word", f"control_word({bits})", {"bits": bits}, {})
    return PageAnatomy("full-zip", codecs, _layer_names(message.layers), message.num_items)


def _constant_page(message: Any, num_buffers: int) -> PageAnatomy:
    # The value is in the message or in the first of an odd number of buffers; else all is null (versions.md 5.2).
    has_value = message.HasField("inline_value") or num_buffers % 2 == 1
    return PageAnatomy(
        "constant" if has_value else "all-null", _codecs(message, **_LEVELS), _layer_names(message.layers)
    )


def _blob(message: Any, num_buffers: int) -> PageAnatomy:
    inner = _describe_layout(message.inner_layout, num_buffers)
    return PageAnatomy("blob", {}, _layer_names(message.layers), inner=inner)


_LEVELS = {"rep": "rep_compression", "def": "def_compression"}
_LAYOUTS: dict[str, Callable[[Any, int], PageAnatomy]] = {
    "mini_block_layout": _mini_block,
    "full_zip_layout": _full_zip,
    "constant_layout": _constant_page,
    "blob_layout": _blob,
}


def _codecs(message: Any, **members: str) -> dict[str, CodecAnatomy]:
    return {
        role: describe_codec(getattr(message, member))
        for role, member in members.items()
        if message.HasField(member)
    }


def _layer_names(layers: Iterable[int]) -> tuple[str, ...]:
    names: dict[int, str] = {
        value: name.removeprefix("REPDEF_").lower() for name, value in RepDefLayer.items()
    }
    return tuple(names.get(layer, f"layer {layer}") for layer in layers)


def describe_codec(message: CompressiveEncoding) -> CodecAnatomy:
    """Describe a codec and all codecs inside of it."""
    name = message.WhichOneof("compression")
    if name is None:
        return CodecAnatomy("unknown", "unknown", {}, {})
    member = getattr(message, name)
    if name == "plugin":
        full_name = member.type_url.rpartition("/")[2]
        return CodecAnatomy(full_name, full_name, {}, {})
    return _CODECS[name](member)


def _scheme(compression: BufferCompression) -> str:
    return _SCHEMES.get(compression.scheme, f"scheme {compression.scheme}")


def _compressed(message: Any, member: str) -> str | None:
    """Return the general compressor of a buffer, where the codec has one of its own."""
    return _scheme(getattr(message, member)) if message.HasField(member) else None


def _joined(name: str, *arguments: object) -> str:
    return f"{name}({', '.join(str(argument) for argument in arguments if argument is not None)})"


def _sized(name: str, num_bytes: int) -> CodecAnatomy:
    return CodecAnatomy(name, f"{name}({num_bytes} bytes)", {"value_bytes": num_bytes}, {})


def _present(**params: object) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _flat(message: Any) -> CodecAnatomy:
    scheme = _compressed(message, "data")
    bits = message.bits_per_value
    return CodecAnatomy("flat", _joined("flat", bits, scheme), _present(bits=bits, compression=scheme), {})


def _variable(message: Any) -> CodecAnatomy:
    scheme = _compressed(message, "values")
    offsets = describe_codec(message.offsets)
    plain = message.offsets.flat.bits_per_value
    shown = plain if offsets.text == f"flat({plain})" else offsets
    return CodecAnatomy(
        "variable", _joined("variable", shown, scheme), _present(compression=scheme), {"offsets": offsets}
    )


def _constant(message: Any) -> CodecAnatomy:
    if message.HasField("value"):
        return _sized("constant", len(message.value))
    return CodecAnatomy("constant", "constant", {}, {})


def _out_of_line_bitpacking(message: Any) -> CodecAnatomy:
    bits, values = message.uncompressed_bits_per_value, describe_codec(message.values)
    name = "out_of_line_bitpacking"
    return CodecAnatomy(name, _joined(name, bits, values), {"bits": bits}, {"values": values})


def _inline_bitpacking(message: Any) -> CodecAnatomy:
    bits, scheme = message.uncompressed_bits_per_value, _compressed(message, "values")
    name = "inline_bitpacking"
    return CodecAnatomy(name, _joined(name, bits, scheme), _present(bits=bits, compression=scheme), {})


def _fsst(message: Any) -> CodecAnatomy:
    values = describe_codec(message.values)
    table_bytes = len(message.symbol_table)
    return CodecAnatomy(
        "fsst", _joined("fsst", values), {"symbol_table_bytes": table_bytes}, {"values": values}
    )


def _dictionary(message: Any) -> CodecAnatomy:
    items, indices = describe_codec(message.items), describe_codec(message.indices)
    count = message.num_dictionary_items
    text = f"dictionary({count} x {items}, {indices})"
    return CodecAnatomy(
        "dictionary", text, {"num_dictionary_items": count}, {"items": items, "indices": indices}
    )


def _rle(message: Any) -> CodecAnatomy:
    values, lengths = describe_codec(message.values), describe_codec(message.run_lengths)
    shown = None if lengths.text == "flat(8)" else lengths
    return CodecAnatomy("rle", _joined("rle", values, shown), {}, {"values": values, "run_lengths": lengths})


def _byte_stream_split(message: Any) -> CodecAnatomy:
    values = describe_codec(message.values)
    return CodecAnatomy("byte_stream_split", _joined("byte_stream_split", values), {}, {"values": values})


def _general(message: Any) -> CodecAnatomy:
    values, scheme = describe_codec(message.values), _scheme(message.compression)
    level = message.compression.level if message.compression.HasField("level") else None
    params = _present(compression=scheme, level=level)
    return CodecAnatomy("general", f"{scheme}({values})", params, {"values": values})


def _fixed_size_list(message: Any) -> CodecAnatomy:
    values, count = describe_codec(message.values), message.items_per_value
    text = _joined("fixed_size_list", f"{count} x {values}", "validity" if message.has_validity else None)
    params = {"items_per_value": count, "has_validity": message.has_validity}
    return CodecAnatomy("fixed_size_list", text, params, {"values": values})


def _packed_struct(message: Any) -> CodecAnatomy:
    values, bits = describe_codec(message.values), list(message.bits_per_value)
    text = _joined("packed_struct", "+".join(map(str, bits)), values)
    return CodecAnatomy("packed_struct", text, {"bits": bits}, {"values": values})


def _variable_packed_struct(message: Any) -> CodecAnatomy:
    fields = [describe_codec(field.value) for field in message.fields]
    name = "variable_packed_struct"
    return CodecAnatomy(
        name, _joined(name, *fields), {}, {f"field_{i}": field for i, field in enumerate(fields)}
    )


_CODECS: dict[str, Callable[[Any], CodecAnatomy]] = {
    "flat": _flat,
    "variable": _variable,
    "constant": _constant,
    "out_of_line_bitpacking": _out_of_line_bitpacking,
    "inline_bitpacking": _inline_bitpacking,
    "fsst": _fsst,
    "dictionary": _dictionary,
    "rle": _rle,
    "byte_stream_split": _byte_stream_split,
    "general": _general,
    "fixed_size_list": _fixed_size_list,
    "packed_struct": _packed_struct,
    "variable_packed_struct": _variable_packed_struct,
}
