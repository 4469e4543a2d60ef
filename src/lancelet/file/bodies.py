"""Values of blobs in place of their descriptors: a second fetch, after the pages were decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lancelet.errors import FormatError
from lancelet.fields.blob import Bodies, check_places
from lancelet.fields.paths import innermost, leaf_paths, with_innermost
from lancelet.schema.blobs import is_blob
from lancelet.storage.coalesce import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from lancelet.buffers import Allocate
    from lancelet.fields.paths import LeafPath
    from lancelet.schema.fields import Field
    from lancelet.storage import Source

__all__ = ["Sidecars", "load_bodies", "shows_values"]


class Sidecars(Protocol):
    """The sidecar files of a data file, by their numbers; both methods raise FormatError where there is no such file."""

    def size(self, blob_id: int) -> int:
        """Return the size of a file in bytes."""

    def open(self, blob_id: int) -> Source:
        """Open a file."""


class _Blobs(NamedTuple):
    """The arrays of one blob column, one a page; they are changed in place."""

    path: LeafPath
    has_values: bool
    arrays: list[pa.Array]


def shows_values(stored: Field, shown: Field) -> bool:
    """Tell whether some blob of a field is shown as its value."""
    return any(
        is_blob(path.leaf) and _is_value(other.leaf)
        for path, other in zip(leaf_paths(stored), leaf_paths(shown), strict=True)
    )


def _is_value(shown: Field) -> bool:
    return shown.logical_type == "large_binary"


def _blobs(fields: Sequence[tuple[Field, Field]], parts: list[list[list[pa.Array]]]) -> Iterator[_Blobs]:
    for (stored, shown), leaves in zip(fields, parts, strict=True):
        for path, other, arrays in zip(leaf_paths(stored), leaf_paths(shown), leaves, strict=True):
            if is_blob(path.leaf):
                yield _Blobs(path, _is_value(other.leaf), arrays)


def load_bodies(
    fields: Sequence[tuple[Field, Field]],
    parts: list[list[list[pa.Array]]],
    source: Source,
    data_stop: int,
    columns_of: Mapping[int, int],
    allocate: Allocate,
    *,
    scattered: bool = False,
    sidecars: Sidecars | None = None,
) -> None:
    """Check the descriptors of all blobs, and put values in their place where values are shown.

    All bodies of all columns that lie in the file are fetched in one call; what they take together is allocated before.

    Parameters
    ----------
    fields
        Each field as it is stored and as it is shown.
    parts
        For each field, for each leaf, its arrays; those of blobs are replaced.
    source
        The file.
    data_stop
        Position where its data ends.
    columns_of
        Field id -> physical column.
    allocate
        Where memory comes from.
    scattered
        Nothing around the bodies will be read soon.
    sidecars
        Files beside this one that bodies may lie in; ``None``: they are not known.

    Raises
    ------
    FormatError
        A body does not lie inside of the data of the file, or of its sidecar file.
    UnsupportedError
        A body that is wanted lies in another file.
    """
    places = []
    sidecar_size = None if sidecars is None else sidecars.size
    for path, has_values, arrays in _blobs(fields, parts):
        for number, array in enumerate(arrays):
            descriptors, _ = innermost(array, path.containers)
            try:
                if has_values:
                    places.append((arrays, number, path, Bodies(descriptors, data_stop, sidecar_size)))
                else:
                    check_places(descriptors, data_stop)
            except FormatError as error:
                raise error.locate(column=columns_of[path.leaf.id]) from None
    outs = [bodies.reserve(allocate) for *_, bodies in places]
    ranges = [range_ for *_, bodies in places for range_ in bodies.ranges]
    fetched = iter(fetch(source, ranges, scattered=scattered))
    for (arrays, number, path, bodies), out in zip(places, outs, strict=True):
        _fill_from_sidecars(bodies, sidecars, out, scattered=scattered)
        values = bodies.join([next(fetched) for _ in bodies.ranges], out)
        arrays[number] = with_innermost(arrays[number], path.containers, values)


def _fill_from_sidecars(bodies: Bodies, sidecars: Sidecars | None, out: Any, *, scattered: bool) -> None:
    """Copy bodies in sidecar files to their places, file after file: no more than one of them is held open."""
    if sidecars is None:
        return
    for blob_id, ranges in bodies.sidecar_ranges.items():
        with sidecars.open(blob_id) as source:
            bodies.fill(blob_id, fetch(source, ranges, scattered=scattered), out)
