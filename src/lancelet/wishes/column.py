"""The wishes for one column (compressors.md 7.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "BSS_MODES",
    "COMPRESSIONS",
    "DICTIONARY_COMPRESSIONS",
    "LAYOUTS",
    "MAX_MINICHUNK_BYTES",
    "NO_WISHES",
    "V20_MODES",
    "ColumnOptions",
    "level_bounds",
]

LAYOUTS = ("miniblock", "fullzip")
COMPRESSIONS = ("lz4", "zstd", "none", "fsst")
DICTIONARY_COMPRESSIONS = ("lz4", "zstd", "none")
BSS_MODES = ("off", "on", "auto")
V20_MODES = ("compact",)

#: No chunk is larger, in any version (structural.md 5.4).
MAX_MINICHUNK_BYTES = (1 << 31) - 1


def level_bounds() -> tuple[int, int]:
    """Return the lowest and the highest level of zstd."""
    return pa.Codec.minimum_compression_level("zstd"), pa.Codec.maximum_compression_level("zstd")


@dataclass(frozen=True, slots=True, repr=False)
class ColumnOptions:
    """Wishes for the encoding of one column; ``None`` is no wish.

    The values are checked here. Whether they go with the type of the column, with the file version and with each other is
    checked when the writer has its schema: a wish that cannot be fulfilled is refused.

    Attributes
    ----------
    structural_encoding
        Layout of the pages: ``"miniblock"`` or ``"fullzip"``; by default values below 256 bytes go to mini-block pages.
    compression
        ``"lz4"``, ``"zstd"``: compress what the other encodings leave. ``"fsst"``: symbol tables, for text and binary.
        ``"none"``: values as they are, not even bit-packed.
    compression_level
        Level of zstd.
    rle_threshold
        Encode runs only when there are fewer runs than values times this number; 0: never.
    bss
        Byte stream split under ``lz4`` or ``zstd`` for values of 32 and 64 bits: ``"on"``, ``"off"``, or ``"auto"`` for
        the choice by the entropy of the bytes.
    minichunk_size
        Wished bytes of a chunk of text or binary; 4096 by default. In version 2.1 below 32768.
    dict_divisor
        A dictionary has at most one entry per so many values; 2 by default.
    dict_size_ratio
        Dictionary and indices take at most this part of the raw size, above 0 and at most 1; 0.8 by default.
    dict_max_bytes
        Most bytes of a dictionary of text or binary; 8 MiB by default, 0: no dictionaries.
    dict_values_compression
        How the values of a dictionary are compressed, from version 2.2 on: ``"lz4"`` (default), ``"zstd"`` or ``"none"``.
    dict_values_compression_level
        Level of zstd there.
    v20
        For file version 2.0: ``"compact"`` also takes the encodings that the reference reads and does not write.

    Raises
    ------
    OptionError
        A value is of a wrong type or out of its range.

    Examples
    --------
    >>> ColumnOptions(compression="zstd", compression_level=6)
    ColumnOptions(compression='zstd', compression_level=6)
    """

    structural_encoding: str | None = None
    compression: str | None = None
    compression_level: int | None = None
    rle_threshold: float | None = None
    bss: str | None = None
    minichunk_size: int | None = None
    dict_divisor: int | None = None
    dict_size_ratio: float | None = None
    dict_max_bytes: int | None = None
    dict_values_compression: str | None = None
    dict_values_compression_level: int | None = None
    v20: str | None = None

    def __post_init__(self) -> None:
        self._check_word("structural_encoding", LAYOUTS)
        self._check_word("compression", COMPRESSIONS)
        self._check_word("bss", BSS_MODES)
        self._check_word("dict_values_compression", DICTIONARY_COMPRESSIONS)
        self._check_number("compression_level", *level_bounds())
        self._check_number("rle_threshold", 0, math.inf, whole=False)
        self._check_number("minichunk_size", 1, MAX_MINICHUNK_BYTES)
        self._check_number("dict_divisor", 1, 2**63 - 1)
        self._check_number("dict_size_ratio", 0, 1, whole=False)
        if self.dict_size_ratio == 0:
            raise OptionError("dict_size_ratio is 0; it must be above 0 and at most 1")
        self._check_number("dict_max_bytes", 0, 2**63 - 1)
        self._check_number("dict_values_compression_level", *level_bounds())
        self._check_word("v20", V20_MODES)

    def _check_word(self, name: str, allowed: Collection[str]) -> None:
        value = getattr(self, name)
        if value is not None and (not isinstance(value, str) or value not in allowed):
            raise OptionError(f"{name} is {value!r}; it may be {', '.join(map(repr, allowed))} or None")

    def _check_number(self, name: str, least: float, most: float, *, whole: bool = True) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise OptionError(
                f"{name} is {value!r}; it must be {'an integer' if whole else 'a number'} or None"
            )
        if not least <= value <= most or math.isinf(value):
            above = "" if math.isinf(most) else f" and at most {most}"
            raise OptionError(f"{name} is {value}; it must be at least {least}{above}")

    @property
    def given(self) -> dict[str, Any]:
        """The wishes that are there, by name."""
        return {name: value for name in _NAMES if (value := getattr(self, name)) is not None}

    def over(self, other: ColumnOptions) -> ColumnOptions:
        """Return these wishes, and those of `other` where there is none here."""
        if self is NO_WISHES or other is NO_WISHES:
            return other if self is NO_WISHES else self
        return ColumnOptions(**other.given | self.given)

    def __repr__(self) -> str:
        return f"ColumnOptions({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"


_NAMES = tuple(field.name for field in fields(ColumnOptions))

#: What most columns have; a table may have thousands of them.
NO_WISHES = ColumnOptions()
