"""From all wishes for a leaf to those that hold, and which of them the leaf cannot fulfil."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.versions import Version
from lancelet.wishes.column import NO_WISHES
from lancelet.wishes.metadata import LOGGER, options_of_leaf, options_of_top

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lancelet.wishes.column import ColumnOptions

__all__ = ["LeafKind", "resolve", "unfulfilled"]

#: Chunk words of 2.1 count less than so many bytes (structural.md 5.4).
MAX_SMALL_CHUNK_BYTES = 32768

_GENERAL = ("lz4", "zstd")
_WORD_BITS = (8, 16, 32, 64)
_NARROW_BITS = 8 * 256

_LABELS = {
    "null": "nulls",
    "list": "fixed-size lists",
    "packed": "packed structs",
    "blob": "blobs",
}


@dataclass(frozen=True, slots=True)
class LeafKind:
    """What the pages of a leaf hold, as far as its type tells.

    Attributes
    ----------
    form
        ``fixed``: values of one width; ``variable``: text and binary; ``dictionary``: Arrow dictionaries, whose indices are
        the values of the pages; ``list``: fixed-size lists; ``packed``: structs row by row; ``blob``, ``null``.
    bits
        Width of the values, or indices; 0 where they have none.
    has_variable_children
        A packed struct has children other than values of one width: it needs full-zip pages.
    """

    form: Literal["fixed", "variable", "dictionary", "list", "packed", "blob", "null"]
    bits: int = 0
    has_variable_children: bool = False

    @classmethod
    def of(cls, type_: pa.DataType, *, blob: bool = False) -> LeafKind:
        """Return the kind of a leaf of storage type `type_`; a struct is a packed one."""
        if blob:
            return cls("blob")
        if pa.types.is_null(type_):
            return cls("null")
        if pa.types.is_struct(type_):
            return cls("packed", 0, any(cls.of(child.type).form != "fixed" for child in type_))
        if pa.types.is_fixed_size_list(type_):
            return cls("list")
        if pa.types.is_dictionary(type_):
            return cls("dictionary", type_.index_type.bit_width)
        if pa.types.is_fixed_size_binary(type_):
            return cls("fixed", 8 * type_.byte_width)
        if pa.types.is_primitive(type_) or pa.types.is_decimal(type_) or pa.types.is_boolean(type_):
            return cls("fixed", type_.bit_width)
        return cls("variable")

    def may_have_dictionary(self, version: Version) -> bool:
        """Tell whether pages may get a dictionary (compressors.md 7.5)."""
        bits = (64, 128) if version >= Version.V2_2 else (128,)
        return self.form == "variable" or (self.form == "fixed" and self.bits in bits)


def resolve(
    kind: LeafKind,
    version: Version,
    *,
    leaf: Mapping[str, str],
    top: Mapping[str, str],
    options: ColumnOptions,
    rules: ColumnOptions,
) -> ColumnOptions:
    """Merge all wishes for a leaf.

    Parameters
    ----------
    kind, version
        The leaf and the file version.
    leaf, top
        Metadata of the leaf and of the top-level field around it.
    options
        What was asked for this column.
    rules
        What the rules for types and names ask for it.

    Raises
    ------
    OptionError
        `options` asks for what the leaf cannot have, or the metadata has a value that the format calls an error.
    """
    stored = options_of_leaf(leaf).over(options_of_top(top))
    merged = stored.over(options).over(rules)
    if merged is NO_WISHES:
        return merged
    for name, reason in unfulfilled(kind, version, merged):
        if name in stored.given:
            LOGGER.warning("%s=%r in field metadata is ignored: %s", name, stored.given[name], reason)
        elif name in options.given:
            raise OptionError(f"{name}={options.given[name]!r} cannot be fulfilled: {reason}")
    return merged


def unfulfilled(kind: LeafKind, version: Version, wishes: ColumnOptions) -> Iterator[tuple[str, str]]:
    """Give each wish that can have no effect in this version on any page of such a leaf, with the reason."""
    if version == Version.V2_0:
        yield from _unfulfilled_v20(kind, wishes)
        return
    checks = {
        "structural_encoding": _structural_encoding,
        "compression": _compression,
        "compression_level": _compression_level,
        "rle_threshold": _rle_threshold,
        "bss": _bss,
        "minichunk_size": _minichunk_size,
        "dict_divisor": _dictionary,
        "dict_size_ratio": _dictionary,
        "dict_max_bytes": _dict_max_bytes,
        "dict_values_compression": _dict_values,
        "dict_values_compression_level": _dict_values_level,
        "v20": _v20,
    }
    for name in wishes.given:
        reason = checks[name](kind, version, wishes)
        if reason is not None:
            yield name, reason


def _structural_encoding(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if kind.form == "blob":
        return "blobs have pages of their own"
    if kind.form == "dictionary":
        return "full-zip pages have no dictionary" if wishes.structural_encoding == "fullzip" else None
    if kind.form != "packed":
        return None
    if kind.has_variable_children:
        full_zip = wishes.structural_encoding == "fullzip"
        return None if full_zip else "packed structs of text, binary or lists need full-zip pages"
    if wishes.structural_encoding == "fullzip" and version < Version.V2_2:
        return f"version {version.text} has no full-zip pages of packed structs; 2.2 has"
    return None


def _v20(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    return f"version {version.text} has other encodings than 2.0"


def _unfulfilled_v20(kind: LeafKind, wishes: ColumnOptions) -> Iterator[tuple[str, str]]:
    """Give what version 2.0 has nothing for: it compresses the bytes of text and binary, and that is all."""
    for name in wishes.given:
        if name == "compression":
            if wishes.compression != "none" and kind.form != "variable":
                yield name, "version 2.0 compresses text and binary only"
        elif name == "compression_level":
            if wishes.compression != "zstd" or kind.form != "variable":
                yield name, "only text and binary under compression='zstd' have levels"
        elif name != "v20":
            yield name, "version 2.0 has nothing of the kind; 2.1 has"


def _in_full_zip(kind: LeafKind, wishes: ColumnOptions) -> bool:
    if kind.form == "dictionary":
        return False
    if kind.form == "fixed" and kind.bits >= _NARROW_BITS:
        return wishes.structural_encoding != "miniblock"
    return wishes.structural_encoding == "fullzip"


def _compression(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if wishes.compression == "none":
        return (
            "the children of packed structs have wishes of their own" if kind.has_variable_children else None
        )
    if wishes.compression == "fsst":
        return None if kind.form == "variable" else "symbol tables are for text and binary only"
    if kind.form in _LABELS:
        return f"{_LABELS[kind.form]} are stored as they are"
    if not _in_full_zip(kind, wishes):
        return None
    if kind.form == "variable":
        return "full-zip pages compress with zstd only" if wishes.compression == "lz4" else None
    return "full-zip pages store values of one width as they are"


def _compression_level(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if wishes.compression != "zstd":
        return "only compression='zstd' has levels"
    return _compression(kind, version, wishes)


def _rle_threshold(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    has_runs = kind.form in ("fixed", "dictionary") and kind.bits in _WORD_BITS
    if not has_runs and not kind.may_have_dictionary(version):
        return "runs are encoded in values, or indices of dictionaries, of 8, 16, 32 and 64 bits only"
    if _in_full_zip(kind, wishes):
        return "full-zip pages have no runs"
    return "compression='none' leaves values as they are" if wishes.compression == "none" else None


def _bss(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if wishes.bss != "on":
        return None
    if kind.form not in ("fixed", "dictionary") or kind.bits not in (32, 64):
        return "bytes are split in values of 32 and 64 bits only"
    if wishes.compression not in _GENERAL:
        return "bytes are split only under compression 'lz4' or 'zstd'"
    return "full-zip pages store values as they are" if _in_full_zip(kind, wishes) else None


def _minichunk_size(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if kind.form != "variable" or _in_full_zip(kind, wishes):
        return "only mini-block chunks of text and binary are cut by size"
    if version < Version.V2_2 and (wishes.minichunk_size or 0) >= MAX_SMALL_CHUNK_BYTES:
        return (
            f"chunks of version {version.text} are below {MAX_SMALL_CHUNK_BYTES} bytes; 2.2 has larger ones"
        )
    return None


def _dictionary(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if kind.form == "dictionary":
        return "columns of dictionaries keep theirs"
    if not kind.may_have_dictionary(version):
        also = "of 64 and 128 bits" if version >= Version.V2_2 else "of 128 bits (64 from version 2.2 on)"
        return f"dictionaries are made of text, binary and values {also} only"
    return "full-zip pages have no dictionary" if _in_full_zip(kind, wishes) else None


def _dict_max_bytes(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if kind.form != "variable":
        return "it limits dictionaries of text and binary only"
    return _dictionary(kind, version, wishes)


def _dict_values(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if version < Version.V2_2:
        return f"version {version.text} stores the values of dictionaries as they are; 2.2 compresses them"
    return None if kind.form == "dictionary" else _dictionary(kind, version, wishes)


def _dict_values_level(kind: LeafKind, version: Version, wishes: ColumnOptions) -> str | None:
    if wishes.dict_values_compression != "zstd":
        return "only dict_values_compression='zstd' has levels"
    return _dict_values(kind, version, wishes)
