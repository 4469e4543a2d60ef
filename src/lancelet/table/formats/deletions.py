"""Deletion files: which rows of a fragment are gone (dataset.md 4).

A file lists all deleted rows of its fragment as positions in the data files, and replaces the one before it.

============  ============================================================================================
``.arrow``    Arrow IPC file of one batch with one column ``row_id: uint32 not null``, in any order; see
              :mod:`lancelet.table.formats.arrow_array`
``.bin``      Roaring bitmap; see :mod:`lancelet.table.formats.bitmap`
============  ============================================================================================
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.table.formats.arrow_array import decode_array, encode_array
from lancelet.table.formats.bitmap import count_numbers, decode_bitmap, encode_bitmap
from lancelet.table.formats.metadata import DeletionFile
from lancelet.table.formats.names import new_deletion_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lancelet.storage import Store
    from lancelet.table.formats.metadata import FragmentMetadata

__all__ = [
    "NO_OFFSETS",
    "decode_array",
    "encode_array",
    "read_deletions",
    "write_deletions",
]

#: Fragments with at least so many deleted rows get a bitmap, whatever their size.
BITMAP_FROM = 5000

_MOST_ROWS = 1 << 32
#: What fragments without deletions have: uint32[0], read-only.
NO_OFFSETS = np.empty(0, np.uint32)
NO_OFFSETS.flags.writeable = False


def read_deletions(
    store: Store, fragment: FragmentMetadata, *, bases: Mapping[int, Store] | None = None
) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return which rows of a fragment are deleted.

    Parameters
    ----------
    store
        The dataset.
    fragment
        The fragment. Its number of rows, where it is known, bounds what the file may hold.
    bases
        Roots of other datasets, by ``base_id``, for deletion files that lie there.

    Returns
    -------
    uint32[num_deleted_rows]
        Positions in the data files, ascending, each once; read-only.

    Raises
    ------
    FormatError
        The file is damaged or missing, or contradicts what the manifest says of the fragment.
    UnsupportedError
        The file lies in a place that is not in `bases`.
    LanceletError
        There is no memory for so many rows.
    """
    deletion = fragment.deletion_file
    if deletion is None:
        return NO_OFFSETS
    if deletion.base_id is not None:
        if bases is None or deletion.base_id not in bases:
            raise UnsupportedError(
                f"the deletion file of fragment {fragment.id} lies in base path {deletion.base_id}"
            )
        store = bases[deletion.base_id]
    path = deletion.path(fragment.id)
    most = _MOST_ROWS if fragment.physical_rows is None else fragment.physical_rows
    try:
        with store.open_source(path) as source:
            data = source.read(0, source.size())
            if deletion.file_type == "array":
                offsets = decode_array(data, limit=min(most, _MOST_ROWS))
            else:  # a few bytes may stand for many rows
                _check_count(count_numbers(data), deletion.num_deleted_rows)
                offsets = decode_bitmap(data, limit=min(most, _MOST_ROWS))
        _check(offsets, most, deletion.num_deleted_rows)
    except FileNotFoundError:
        raise FormatError("there is no such deletion file", path=f"{store.name}/{path}") from None
    except FormatError as error:
        raise error.locate(path=f"{store.name}/{path}") from None
    except MemoryError:
        raise LanceletError(
            f"there is no memory for the deleted rows that {store.name}/{path} lists"
        ) from None
    offsets.flags.writeable = False
    return offsets


def write_deletions(
    store: Store, fragment_id: int, read_version: int, offsets: np.ndarray[Any, Any]
) -> DeletionFile:
    """Write which rows of a fragment are deleted. Nobody sees it until a manifest names the file.

    Parameters
    ----------
    store
        The dataset.
    fragment_id
        The fragment.
    read_version
        Version that the deletion begins from.
    offsets
        uint32[num_deleted_rows]: *all* rows of the fragment that are deleted, ascending, each once.

    Raises
    ------
    OptionError
        There are none, or they do not ascend.
    """
    offsets = np.ascontiguousarray(offsets, np.uint32)
    if not len(offsets) or (offsets[1:] <= offsets[:-1]).any():
        raise OptionError("deleted rows must ascend, and there must be some")
    is_bitmap = len(offsets) >= BITMAP_FROM
    deletion = DeletionFile("bitmap" if is_bitmap else "array", read_version, new_deletion_id(), len(offsets))
    path = deletion.path(fragment_id)
    try:
        store.put(path, encode_bitmap(offsets) if is_bitmap else encode_array(offsets))
    except BaseException:
        with contextlib.suppress(OSError):  # it may be there all the same
            store.delete(path)
        raise
    return deletion


def _check(offsets: np.ndarray[Any, Any], num_rows: int, expected: int | None) -> None:
    if (offsets[1:] == offsets[:-1]).any():
        raise FormatError("a row is deleted twice")
    if len(offsets) and int(offsets[-1]) >= num_rows:
        raise FormatError(f"row {offsets[-1]} is deleted, and the fragment has {num_rows}")
    _check_count(len(offsets), expected)


def _check_count(num: int, expected: int | None) -> None:
    if expected is not None and num != expected:
        raise FormatError(f"the file lists {num} deleted rows, the manifest counts {expected}")
