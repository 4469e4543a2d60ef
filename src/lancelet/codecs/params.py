"""What steers the choice of codecs for one leaf column (compressors.md 7.1)."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lancelet.codecs.base import ChunkLimits
from lancelet.errors import OptionError
from lancelet.options import Profile
from lancelet.versions import Version
from lancelet.wishes.column import DICTIONARY_COMPRESSIONS, MAX_MINICHUNK_BYTES, level_bounds
from lancelet.wishes.resolve import MAX_SMALL_CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.wishes import ColumnOptions

__all__ = ["CodecParams", "DictionaryParams"]

_DICTIONARY_VARIABLE = "LANCE_ENCODING_DICT_"

# Two values are the least that any codec cuts; chunk words hold up to 2**15.
_MIN_CHUNK_VALUES, _MAX_CHUNK_VALUES = 2, 32768

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
    chosen
        Somebody asked for this compression.
    """

    min_values: int = 100
    divisor: int = 2
    max_entries: int = 100_000
    size_ratio: float = 0.8
    max_bytes: int = 8 << 20
    values_compression: str = "lz4"
    values_level: int | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class CodecParams:
    """Parameters of one leaf column, resolved from wishes and environment.

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
    profile
        Who chooses where nothing is wished for.
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
    profile: Profile = Profile.BALANCED
    children: tuple[CodecParams, ...] = ()

    @classmethod
    def resolve(
        cls, version: Version, is_text: bool, wishes: ColumnOptions, profile: Profile = Profile.BALANCED
    ) -> CodecParams:
        """Resolve the parameters of a leaf: what is wished first, then the environment, then the defaults.

        Raises
        ------
        OptionError
            An environment variable has a value that the format calls an error.
        """
        return cls(
            version=version,
            is_text=is_text,
            limits=ChunkLimits(max_values=_max_chunk_values(), target_bytes=_target_bytes(wishes, version)),
            compression=wishes.compression,
            level=wishes.compression_level,
            rle_threshold=wishes.rle_threshold,
            bss=wishes.bss or "auto",
            dictionary=_resolve_dictionary(wishes, profile),
            profile=profile,
        )

    @property
    def is_reference(self) -> bool:
        """Whether the rules of the reference are followed to the letter."""
        return self.profile is Profile.REFERENCE


def _environment(name: str, parse: Callable[[str], T], default: T, least: T | None = None) -> T:
    """Return a number of the environment; what is none, or is too small, warns and gives the default."""
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        number = parse(text)
    except ValueError:
        number = None
    if number is None or (least is not None and number < least):  # type: ignore[operator]
        warnings.warn(f"{name} is {text!r}; {default} is used", RuntimeWarning, stacklevel=2)
        return default
    return number


def _max_chunk_values() -> int:
    name = "LANCE_MINIBLOCK_MAX_VALUES"
    wished = _environment(name, int, ChunkLimits().max_values)
    most = min(max(wished, _MIN_CHUNK_VALUES), _MAX_CHUNK_VALUES)
    if not 1 <= wished <= _MAX_CHUNK_VALUES:
        warnings.warn(f"{name} is {wished}; {most} is used", RuntimeWarning, stacklevel=2)
    return 1 << (most.bit_length() - 1)


def _target_bytes(wishes: ColumnOptions, version: Version) -> int:
    default = ChunkLimits().target_bytes
    target = wishes.minichunk_size
    if target is None:
        target = _environment("LANCE_BINARY_MINIBLOCK_CHUNK_SIZE", int, default, 1)
    if target >= MAX_SMALL_CHUNK_BYTES and version < Version.V2_2:
        warnings.warn(
            f"chunks of {target} bytes need file version 2.2; {default} is used", RuntimeWarning, stacklevel=2
        )
        return default
    return min(target, MAX_MINICHUNK_BYTES)


def _resolve_dictionary(wishes: ColumnOptions, profile: Profile) -> DictionaryParams:
    plain = DictionaryParams(values_compression="none" if profile is Profile.FAST else "lz4")

    def value(wish: T | None, variable: str, parse: Callable[[str], T], default: T) -> T:
        return _environment(_DICTIONARY_VARIABLE + variable, parse, default) if wish is None else wish

    ratio = value(wishes.dict_size_ratio, "SIZE_RATIO", float, plain.size_ratio)
    if not 0 < ratio <= 1:
        raise OptionError(f"{_DICTIONARY_VARIABLE}SIZE_RATIO is {ratio}; it must be above 0 and at most 1")
    compression = value(wishes.dict_values_compression, "VALUES_COMPRESSION", str, plain.values_compression)
    if compression not in DICTIONARY_COMPRESSIONS:
        raise OptionError(
            f"{_DICTIONARY_VARIABLE}VALUES_COMPRESSION is {compression!r}; it may be lz4, zstd or none"
        )
    level = wishes.dict_values_compression_level
    if level is None:
        level = _environment(_DICTIONARY_VARIABLE + "VALUES_COMPRESSION_LEVEL", _zstd_level, None)
    return DictionaryParams(
        min_values=_environment(_DICTIONARY_VARIABLE + "TOO_SMALL", int, plain.min_values, 0),
        divisor=max(1, value(wishes.dict_divisor, "DIVISOR", int, plain.divisor)),
        max_entries=_environment(_DICTIONARY_VARIABLE + "MAX_CARDINALITY", int, plain.max_entries, 0),
        size_ratio=ratio,
        max_bytes=plain.max_bytes if wishes.dict_max_bytes is None else wishes.dict_max_bytes,
        values_compression=compression,
        values_level=level,
        chosen=wishes.dict_values_compression is not None,
    )


def _zstd_level(text: str) -> int | None:
    lowest, highest = level_bounds()
    return min(max(int(text), lowest), highest)
