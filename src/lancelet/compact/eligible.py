"""Which fragments may be copied as they are, and why others may not (dataset.md 7.5).

What only the manifest is needed for is asked first, then the file is opened. That a file is damaged is no reason, but an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.compact.source import SourceFile, WantedColumns, open_data_file
from lancelet.schema.blobs import BLOB_V2, is_blob
from lancelet.schema.logical import EXTENSION_NAME
from lancelet.versions import Version

if TYPE_CHECKING:
    from lancelet.schema.fields import Schema
    from lancelet.storage import Store
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata

__all__ = ["blob_column", "examine", "manifest_problem"]


def blob_column(schema: Schema) -> str | None:
    """Return the name of a field of blobs, if there is one: their values are not where the pages are."""
    return next(
        (
            field.name
            for field in schema.walk()
            if is_blob(field) or field.metadata.get(EXTENSION_NAME) == BLOB_V2
        ),
        None,
    )


def manifest_problem(fragment: FragmentMetadata, wanted: WantedColumns) -> str | None:
    """Return what the manifest says against copying a fragment."""
    if not fragment.files:
        return f"fragment {fragment.id} has no data files"
    if fragment.deletion_file is not None:
        return f"fragment {fragment.id} has deletions"
    for file in fragment.files:
        if file.version != wanted.version:
            return f"data file {file.path!r} is of version {file.version.text}, and {wanted.version.text} is wanted"
    if wanted.version > Version.V2_2:
        return f"files of version {wanted.version.text} are not written"
    if len(fragment.files) > 1:
        return f"fragment {fragment.id} is split over {len(fragment.files)} data files"
    held = fragment.files[0].columns_of
    for id_, path in zip(wanted.ids, wanted.paths, strict=True):
        if id_ not in held:
            return f"data file {fragment.files[0].path!r} misses column {path!r}"
    return None


def examine(store: Store, file: DataFile, wanted: WantedColumns) -> tuple[str | None, int]:
    """Open a data file with all wanted columns; returns what speaks against copying it, and the number of pages.

    Parameters
    ----------
    store
        The dataset.
    file
        A data file of it.
    wanted
        The columns; the file has all of them, as :func:`manifest_problem` says.

    Raises
    ------
    FormatError
        The file is damaged, or not what the manifest says.
    UnsupportedError
        The file lies outside of the dataset, or is stored in a way that is not known here.
    """
    container = open_data_file(store, file)
    with container.source:
        source = SourceFile(container, file, wanted)
        return source.problem, source.num_pages
