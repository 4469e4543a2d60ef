"""Which encoding a page of text deserves (encodings_v2_0.md 6 and 9), and what field metadata asks for."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from lancelet import kernels
from lancelet.blocks import VariableWidth
from lancelet.blocks.arrow import to_block
from lancelet.buffers import as_bytes, as_values
from lancelet.v20.dictionary import MAX_TEXT_ITEMS
from lancelet.v20.node import Compression

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

__all__ = [
    "DEFAULT_DICTIONARY_THRESHOLD",
    "common_size",
    "compression_of",
    "default_dictionary_threshold",
    "deserves_dictionary",
    "deserves_fixed_size",
]

#: Rows that a page must have, and distinct values that it must stay below, to become a dictionary.
DEFAULT_DICTIONARY_THRESHOLD = 100

_THRESHOLD_VARIABLE = "LANCE_DICT_ENCODING_THRESHOLD"
_COMPRESSIONS = ("zstd", "lz4", "fsst", "none")


def default_dictionary_threshold() -> int:
    """Return the threshold of the environment (``LANCE_DICT_ENCODING_THRESHOLD``), or 100 when it is no whole number."""
    text = os.environ.get(_THRESHOLD_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() else DEFAULT_DICTIONARY_THRESHOLD


def deserves_dictionary(array: pa.Array, threshold: int = DEFAULT_DICTIONARY_THRESHOLD) -> bool:
    """Tell whether a page of text becomes a dictionary: enough rows, and few enough distinct values.

    Parameters
    ----------
    array
        Values of any length; nulls count as rows, and not as values.
    threshold
        T: there must be at least T rows, and fewer than T distinct values. Above 256 it counts as 256, since indices have 8 bits.

    Examples
    --------
    >>> import pyarrow as pa
    >>> deserves_dictionary(pa.array(["a", "b", "a", "b"]), threshold=3)
    True
    >>> deserves_dictionary(pa.array(["a", "b", "c", "a"]), threshold=3)
    False
    """
    threshold = min(threshold, MAX_TEXT_ITEMS + 1)
    if len(array) == 0 or len(array) < threshold or threshold == 0:
        return False
    block = _values(array)
    offsets = as_bytes(block.offsets)[: (block.num_values + 1) * block.offset_bits // 8]
    numbers, first = np.empty(block.num_values, np.uint32), np.empty(threshold - 1, np.int64)
    found = kernels.unique_variable(
        block.data, offsets, block.offset_bits, threshold - 1, 2**62, numbers, first
    )
    return found >= 0


def common_size(arrays: Sequence[pa.Array]) -> int | None:
    """Return the length in bytes that all valid values of some arrays have; ``None`` when they differ, or none is longer than 0."""
    size = None
    for array in arrays:
        block = _values(array)
        lengths = np.diff(as_values(block.offsets, block.offset_bits)[: block.num_values + 1])
        if len(lengths) == 0:
            continue
        size = int(lengths[0]) if size is None else size
        if size == 0 or bool((lengths != size).any()):
            return None
    return size


def deserves_fixed_size(arrays: Sequence[pa.Array]) -> bool:
    """Tell whether pages of text or bytes can be stored without lengths: the valid values are not empty and all of one length.

    Parameters
    ----------
    arrays
        The arrays of one page.

    Examples
    --------
    >>> import pyarrow as pa
    >>> deserves_fixed_size([pa.array(["pqr", None])])
    True
    >>> deserves_fixed_size([pa.array(["ab", "bc"]), pa.array(["c", "d"])])
    False
    """
    return common_size(arrays) is not None


def _values(array: pa.Array) -> VariableWidth:
    block = to_block(array.drop_null() if array.null_count else array, None)
    if not isinstance(block, VariableWidth):
        raise TypeError(f"values of type {array.type} have no lengths")
    return block


def compression_of(name: str, metadata: Mapping[str, str]) -> Compression | None:
    """Read what the metadata of a field asks for.

    Parameters
    ----------
    name, metadata
        Of the field. What is not one of ``zstd``, ``lz4``, ``fsst``, ``none`` in exactly this form warns and is ignored.

    Returns
    -------
    Compression or None
        The scheme, which may be ``fsst``, and the level, if it is an integer.
    """
    scheme = metadata.get("lance-encoding:compression")
    if scheme is None:
        return None
    if scheme not in _COMPRESSIONS:
        warnings.warn(
            f"field {name!r}: lance-encoding:compression is {scheme!r} and is ignored; it may be {', '.join(_COMPRESSIONS)}",
            stacklevel=2,
        )
        return None
    try:
        level = int(metadata.get("lance-encoding:compression-level", ""))
    except ValueError:
        return Compression(scheme)
    return Compression(scheme, level if -(2**31) <= level < 2**31 else None)
