"""A whole file in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.file.writer import FileWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

__all__ = ["create_file_with_batches"]


def create_file_with_batches(
    path: Any, schema: pa.Schema, batches: Iterable[pa.RecordBatch] | Any, **options: Any
) -> int:
    """Write a file of all rows of `batches`; it appears under its name as a whole, or not at all.

    Parameters
    ----------
    path
        Path, or a binary file object.
    schema
        Arrow schema of the file.
    batches
        Iterable of batches, a table, or any object with an Arrow stream; there may be none.
    **options
        Those of :class:`FileWriter`.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    OptionError
        As :class:`FileWriter` and :meth:`FileWriter.write_batch` do.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"n": [1, 2, 3]})
    >>> create_file_with_batches("numbers.lance", table.schema, table.to_batches())  # doctest: +SKIP
    3
    """
    with FileWriter(path, schema, **options) as writer:
        writer.write_batches(batches)
        return writer.finish()
