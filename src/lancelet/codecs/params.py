"""What steers the choice of codecs for one leaf column (compressors.md 7.1)."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lancelet.codecs.base import ChunkLimits
from lancelet.errors import OptionError
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CodecParams", "DictionaryParams"]

_COMPRESSIONS = ("lz4", "zstd", "none", "fsst")
_DICTIONARY_COMPRESSIONS = ("lz4", "zstd", "none")
_BSS_MODES = ("off", "on", "auto")

#: Chunk words of 2.1 count at most so many bytes (structural.md 5.4).
_MAX_SMALL_CHUNK = 32768

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DictionaryParams:
    """When a page gets a dictionary (compressors.md 7.5).

    Attributes
    ----------
    min_values
        Fewest slots of a page (``LANCE_ENCODING_DICT_TOO_SMALL``).
    divisor
        At most one entry per so many slots (``lance-encoding:dict-divisor``).
    max_entries
        Most entries (``LANCE_ENCODING_DICT_MAX_CARDINALITY``).
    size_ratio
        Largest size of dictionary and indices, as a part of the raw size (``lance-encoding:dict-size-ratio``).
    max_bytes
        Largest dictionary of variable-width values (``lance-encoding:dict-max-size``).
    values_compression, values_level
        How the dictionary itself is compressed from 2.2 on: ``lz4``, ``zstd`` or ``none``.
    """

    min_values: int = 100
    divisor: int = 2
    max_entries: int = 100_000
    size_ratio: float = 0.8
    max_bytes: int = 8 << 20
    values_compression: str = "lz4"
    values_level: int | None = None


@dataclass(frozen=True, slots=True)
class CodecParams:
    """Parameters of one leaf column, resolved from options, field metadata and environment.

    Attributes
    ----------
    version
        File version: which forms may be written.
    is_text
        The Arrow type is (large) utf8 and not binary: symbol tables are worth a try.
    limits
        Limits of mini-block chunks.
    compression
        ``lz4``, ``zstd``, ``none``, ``fsst``, or ``None``: as the data suggests, without general compression.
    level
        Level of the general compression.
    rle_threshold
        Most runs per value for which runs are encoded; ``None``: only the sizes decide.
    bss
        Byte stream split: ``off``, ``on`` or ``auto``; it goes only with ``lz4`` and ``zstd``.
    dictionary
        When a page gets a dictionary.
    children
        Parameters of the children of a packed struct; empty: those of the struct serve all.
    """

    version: Version
    is_text: bool = False
    limits: ChunkLimits = field(default_factory=ChunkLimits)
    compression: str | None = None
    level: int | None = None
    rle_threshold: float | None = None
    bss: str = "auto"
    dictionary: DictionaryParams = field(default_factory=DictionaryParams)
    children: tuple[CodecParams, ...] = ()

    @classmethod
    def resolve(cls, version: Version, is_text: bool, metadata: Mapping[str, str]) -> CodecParams:
        """Resolve the parameters of a leaf field: its metadata first, then the environment, then the defaults.

        Raises
        ------
        OptionError
            A compression is not known, or a number is outside of its range.
        """
        found = _Metadata(metadata)
        limits = ChunkLimits(
            max_values=_max_chunk_values(),
            target_bytes=_target_bytes(found, version),
        )
        return cls(
            version=version,
            is_text=is_text,
            limits=limits,
            compression=found.choice("compression", _COMPRESSIONS),
            level=found.number("compression-level", int),
            rle_threshold=found.number("rle-threshold", float),
            bss=found.lenient_choice("bss", _BSS_MODES) or "auto",
            dictionary=_resolve_dictionary(found),
        )


class _Metadata:
    """Field metadata under the keys of the format."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self._metadata = metadata

    def text(self, key: str) -> str | None:
        return self._metadata.get(f"lance-encoding:{key}")

    def choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        """Return a word that must be one of `allowed`."""
        text = self.text(key)
        if text is not None and text not in allowed:
            raise OptionError(f"lance-encoding:{key} is {text!r}; it may be {', '.join(allowed)}")
        return text

    def lenient_choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        """Return a word in any case; what is not `allowed` warns and is ignored, as in the reference."""
        text = self.text(key)
        if text is None or text.lower() in allowed:
            return None if text is None else text.lower()
        warnings.warn(
            f"lance-encoding:{key} is {text!r} and is ignored; it may be {', '.join(allowed)}", stacklevel=2
        )
        return None

    def number(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Return a number; text that is none is ignored, as in the reference."""
        text = self.text(key)
        try:
            return None if text is None else parse(text)
        except ValueError:
            return None


def _environment(name: str, parse: Callable[[str], T], default: T) -> T:
    text = os.environ.get(name)
    try:
        return default if text is None else parse(text)
    except ValueError:
        warnings.warn(
            f"{name} is {text!r}, which is no number; {default} is used", RuntimeWarning, stacklevel=2
        )
        return default


def _max_chunk_values() -> int:
    most = _environment("LANCE_MINIBLOCK_MAX_VALUES", int, ChunkLimits().max_values)
    if not 1 <= most <= 32768:
        raise OptionError(f"LANCE_MINIBLOCK_MAX_VALUES is {most}; it must be from 1 to 32768")
    return 1 << (most.bit_length() - 1)


def _target_bytes(found: _Metadata, version: Version) -> int:
    default = ChunkLimits().target_bytes
    target = found.number("minichunk-size", int)
    if target is None:
        target = _environment("LANCE_BINARY_MINIBLOCK_CHUNK_SIZE", int, default)
    if target >= _MAX_SMALL_CHUNK and version < Version.V2_2:
        warnings.warn(f"chunks of {target} bytes need file version 2.2; {default} is used", stacklevel=2)
        return default
    return max(target, 1)


def _resolve_dictionary(found: _Metadata) -> DictionaryParams:
    plain = DictionaryParams()

    def value(key: str, variable: str | None, parse: Callable[[str], T], default: T) -> T:
        number = found.number(key, parse)
        if number is not None:
            return number
        return (
            default if variable is None else _environment(f"LANCE_ENCODING_DICT_{variable}", parse, default)
        )

    ratio = value("dict-size-ratio", "SIZE_RATIO", float, plain.size_ratio)
    if not 0 < ratio <= 1:
        raise OptionError(f"the size ratio of dictionaries is {ratio}; it must be above 0 and at most 1")
    compression = found.choice("dict-values-compression", _DICTIONARY_COMPRESSIONS) or os.environ.get(
        "LANCE_ENCODING_DICT_VALUES_COMPRESSION", plain.values_compression
    )
    if compression not in _DICTIONARY_COMPRESSIONS:
        raise OptionError(
            f"the compression of dictionary values is {compression!r}; it may be lz4, zstd or none"
        )
    return DictionaryParams(
        min_values=_environment("LANCE_ENCODING_DICT_TOO_SMALL", int, plain.min_values),
        divisor=value("dict-divisor", "DIVISOR", int, plain.divisor),
        max_entries=_environment("LANCE_ENCODING_DICT_MAX_CARDINALITY", int, plain.max_entries),
        size_ratio=ratio,
        max_bytes=value("dict-max-size", None, int, plain.max_bytes),
        values_compression=compression,
        values_level=value("dict-values-compression-level", "VALUES_COMPRESSION_LEVEL", int, None),
    )
