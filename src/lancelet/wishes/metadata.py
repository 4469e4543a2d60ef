"""Wishes in the metadata of fields (compressors.md 7.1, structural.md 8.4).

==================================================  ================================================================
key, after ``lance-encoding:``                      a value that means nothing
==================================================  ================================================================
``structural-encoding`` (of the top-level field)    is an error
``compression``, ``dict-values-compression``        is an error; no upper case
``dict-size-ratio``, ``dict-max-size``              is an error; a ratio that is no number is ignored
``bss``, ``minichunk-size``                         is ignored with a warning
all others                                          is ignored
==================================================  ================================================================

Metadata travels with schemas, so what does not suit a column is no error: it is written to the log and ignored, as by
the reference.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError
from lancelet.wishes.column import (
    BSS_MODES,
    COMPRESSIONS,
    DICTIONARY_COMPRESSIONS,
    LAYOUTS,
    MAX_MINICHUNK_BYTES,
    NO_WISHES,
    ColumnOptions,
    level_bounds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LOGGER", "options_of_leaf", "options_of_top"]

LOGGER = logging.getLogger("lancelet.wishes")
LOGGER.addHandler(logging.NullHandler())

_PREFIX = "lance-encoding:"
_MAX_NUMBER = 2**63 - 1


def options_of_top(metadata: Mapping[str, str]) -> ColumnOptions:
    """Return the wishes that count in a top-level field, for all of its leaves: the layout.

    Raises
    ------
    OptionError
        The layout is none that can be asked for.
    """
    text = metadata.get(f"{_PREFIX}structural-encoding")
    if text is None:
        return NO_WISHES
    return ColumnOptions(structural_encoding=_word(metadata, "structural-encoding", LAYOUTS, lower=True))


def options_of_leaf(metadata: Mapping[str, str]) -> ColumnOptions:
    """Return the wishes that count in a leaf field.

    Raises
    ------
    OptionError
        A value is one that the format calls an error.
    """
    if not any(key.startswith(_PREFIX) for key in metadata):
        return NO_WISHES
    chunk = _number(metadata, "minichunk-size", int)
    if chunk is None and f"{_PREFIX}minichunk-size" in metadata:
        _warn(metadata, "minichunk-size", "a number of bytes")
    divisor = _number(metadata, "dict-divisor", int)
    threshold = _number(metadata, "rle-threshold", float)
    return ColumnOptions(
        compression=_word(metadata, "compression", COMPRESSIONS),
        compression_level=_level(metadata, "compression-level"),
        # no run count is below 0 or NaN times the values: both switch runs off, as 0 does
        rle_threshold=None
        if threshold is None
        else min(max(threshold, 0.0), 1e300)
        if threshold >= 0
        else 0.0,
        bss=_bss(metadata),
        minichunk_size=None if chunk is None else min(max(chunk, 1), MAX_MINICHUNK_BYTES),
        dict_divisor=None if divisor is None or divisor < 0 else min(max(divisor, 1), _MAX_NUMBER),
        dict_size_ratio=_ratio(metadata),
        dict_max_bytes=_max_bytes(metadata),
        dict_values_compression=_word(metadata, "dict-values-compression", DICTIONARY_COMPRESSIONS),
        dict_values_compression_level=_level(metadata, "dict-values-compression-level"),
    )


def _word(
    metadata: Mapping[str, str], key: str, allowed: tuple[str, ...], *, lower: bool = False
) -> str | None:
    text = metadata.get(_PREFIX + key)
    word = text.lower() if lower and text is not None else text
    if word is not None and word not in allowed:
        raise OptionError(f"{_PREFIX}{key} is {text!r}; it may be {', '.join(allowed)}")
    return word


def _number(metadata: Mapping[str, str], key: str, parse: Callable[[str], Any]) -> Any:
    text = metadata.get(_PREFIX + key)
    try:
        return None if text is None else parse(text)
    except ValueError:
        return None


def _level(metadata: Mapping[str, str], key: str) -> int | None:
    level = _number(metadata, key, int)
    lowest, highest = level_bounds()
    return None if level is None else min(max(level, lowest), highest)


def _bss(metadata: Mapping[str, str]) -> str | None:
    text = metadata.get(f"{_PREFIX}bss")
    if text is None or text.lower() in BSS_MODES:
        return None if text is None else text.lower()
    _warn(metadata, "bss", ", ".join(BSS_MODES))
    return None


def _ratio(metadata: Mapping[str, str]) -> float | None:
    ratio: float | None = _number(metadata, "dict-size-ratio", float)
    if ratio is not None and (math.isnan(ratio) or not 0 < ratio <= 1):
        raise OptionError(f"{_PREFIX}dict-size-ratio is {ratio}; it must be above 0 and at most 1")
    return ratio


def _max_bytes(metadata: Mapping[str, str]) -> int | None:
    number: int | None = _number(metadata, "dict-max-size", int)
    text = metadata.get(f"{_PREFIX}dict-max-size")
    if text is not None and (number is None or number < 0):
        raise OptionError(f"{_PREFIX}dict-max-size is {text!r}; it must be a number of bytes")
    return None if number is None else min(number, _MAX_NUMBER)


def _warn(metadata: Mapping[str, str], key: str, allowed: str) -> None:
    warnings.warn(
        f"{_PREFIX}{key} is {metadata[_PREFIX + key]!r} and is ignored; it may be {allowed}",
        RuntimeWarning,
        stacklevel=2,
    )
