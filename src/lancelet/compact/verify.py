"""New files, opened and compared with what they were made of, before anybody may see them (dataset.md 7.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.compact.source import open_data_file
from lancelet.errors import FormatError, UnsupportedError
from lancelet.versions import COLUMN_ENCODING, Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.compact.source import WantedColumns
    from lancelet.container.metadata import PageTotals
    from lancelet.container.reader import Container
    from lancelet.storage import Store
    from lancelet.table.formats.metadata import DataFile

__all__ = ["read_ends", "verify_copy"]


def verify_copy(
    store: Store, file: DataFile, num_rows: int, totals: Sequence[PageTotals], wanted: WantedColumns
) -> None:
    """Check that a file that was put together of others has what they had, and that its ends can be read.

    Parameters
    ----------
    store
        The dataset.
    file
        The new file.
    num_rows
        Rows of all sources.
    totals
        For each column what its pages were together.
    wanted
        The columns.

    Raises
    ------
    FormatError
        Rows, pages or bytes are missing or too many, buffers do not lie in the file or are misaligned, pages do not follow each
        other, are of another version, or cannot be decoded.
    """
    container = open_data_file(store, file)
    with container.source as source:
        if container.num_rows != num_rows:
            raise FormatError(
                f"the copy has {container.num_rows} rows, and its sources have {num_rows}", path=source.name
            )
        if container.num_columns != len(wanted.ids):
            raise FormatError(
                f"the copy has {container.num_columns} columns of {len(wanted.ids)}", path=source.name
            )
        container.prepare(container.num_columns)
        for column, expected in enumerate(totals):
            try:
                _check_column(container, column, expected, wanted)
            except FormatError as error:
                raise error.locate(path=source.name, column=column) from None
        read_ends(container)


def _check_column(container: Container, column: int, expected: PageTotals, wanted: WantedColumns) -> None:
    """Check a column; that its buffers lie in the file and that its pages are of the version was checked by opening it."""
    is_old = wanted.version == Version.V2_0
    metadata = container.column(column)
    if metadata.type_name != COLUMN_ENCODING or metadata.buffers:
        raise FormatError("the copied column is described in another way than its sources")
    found = container.totals(column)
    if (found.num_pages, found.num_bytes) != (expected.num_pages, expected.num_bytes):
        raise FormatError(
            f"the copied column has {found.num_pages} pages of {found.num_bytes} bytes, "
            f"and its sources have {expected.num_pages} of {expected.num_bytes}"
        )
    if not is_old:
        container.check_rows(column, wanted.rows_per_row[column])
        return
    num_rows = sum([page.num_rows for page in metadata.pages])
    if num_rows != expected.num_rows:
        raise FormatError(f"the copied column has {num_rows} rows of {expected.num_rows}")


def read_ends(container: Container) -> None:
    """Decode the first and the last row of a new file, as far as encodings are known here: pages of others can be moved too.

    Parameters
    ----------
    container
        The file.

    Raises
    ------
    FormatError
        They cannot be decoded.
    """
    from lancelet.file.reader import FileReader

    last = container.num_rows - 1
    if last < 0:
        return
    try:
        with FileReader(container.source) as reader:
            reader.take_rows([0, last] if last else [0]).to_table()
    except UnsupportedError:
        return
    except FormatError as error:
        raise FormatError(f"the new file cannot be decoded, nor perhaps its sources: {error}") from None
