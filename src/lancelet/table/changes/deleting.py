"""Deleting rows: new deletion files for the fragments that hold them (dataset.md 3.4, 4)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lancelet.errors import OptionError
from lancelet.table.changes.write_files import remove_files
from lancelet.table.formats.deletions import write_deletions
from lancelet.table.formats.operations import Delete
from lancelet.table.reads.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.table.reads.snapshot import Snapshot

    Offsets = npt.NDArray[np.uint32]

__all__ = ["Deletion", "delete_rows"]


class Deletion(NamedTuple):
    """What a deletion commits.

    Attributes
    ----------
    operation
        The operation.
    num_rows
        Rows that it deletes.
    files
        Paths of the deletion files that were written for it.
    """

    operation: Delete
    num_rows: int
    files: tuple[str, ...]


def delete_rows(snapshot: Snapshot, predicate: Any, read_version: int) -> Deletion:
    """Write deletion files that delete the rows which satisfy a predicate.

    Parameters
    ----------
    snapshot
        The version that the deletion begins from.
    predicate
        Which rows: an expression in SQL, or one of ``pyarrow.compute``.
    read_version
        Number of the version.

    Raises
    ------
    OptionError
        There is no predicate, it is no condition, or it names a column that does not exist.
    """
    if predicate is None:
        raise OptionError("delete needs a predicate; 'true' is the one that deletes all rows")
    updated: list[FragmentMetadata] = []
    gone: list[int] = []
    paths: list[str] = []
    num_rows = 0
    try:
        for fragment_id, offsets in _matching(snapshot, predicate):
            reader = snapshot.reader(snapshot.place_of(fragment_id))
            num_rows += len(offsets)
            deleted = np.union1d(reader.deletions, offsets)
            if len(deleted) == reader.physical_rows:
                gone.append(fragment_id)
                continue
            file = write_deletions(snapshot.store, fragment_id, read_version, deleted)
            paths.append(file.path(fragment_id))
            updated.append(replace(reader.metadata, deletion_file=file, physical_rows=reader.physical_rows))
    except BaseException:  # a later fragment is damaged, or the user gave up
        remove_files(snapshot.store, paths)
        raise
    return Deletion(Delete(tuple(updated), tuple(gone), str(predicate)), num_rows, tuple(paths))


def _matching(snapshot: Snapshot, predicate: Any) -> Iterator[tuple[int, Offsets]]:
    """Yield fragment ids in order, each with ``uint32[num_rows]``: the rows that satisfy the predicate, ascending."""
    last, parts = None, []
    for batch in Scanner(snapshot, columns=[], filter=predicate, with_row_address=True).to_batches():
        addresses = batch.column(0).to_numpy()
        ids = addresses >> np.uint64(32)
        borders = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        for start, stop in pairwise(borders):
            if start == stop:
                continue
            if last is not None and last != int(ids[start]):
                yield last, np.concatenate(parts)
                parts = []
            last = int(ids[start])
            parts.append(addresses[start:stop].astype(np.uint32))
    if last is not None:
        yield last, np.concatenate(parts)
