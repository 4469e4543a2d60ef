"""What each column of a file costs: encodings, bytes, bits per value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lancelet.anatomy.columns import physical_columns
from lancelet.anatomy.describe import describe_page
from lancelet.container.reader import Container
from lancelet.errors import FormatError
from lancelet.storage import borrow_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.anatomy.columns import PhysicalColumn

__all__ = ["ColumnSize", "column_sizes"]


@dataclass(frozen=True, slots=True)
class ColumnSize:
    """The size of one physical column.

    Attributes
    ----------
    path
        Path of the field.
    type
        Its Arrow type as text.
    encodings
        The different encodings of its pages in the order of their first use.
    num_pages
        Pages.
    num_values
        Values with nulls; in a list column the items.
    encoded_bytes
        Bytes of all buffers, padding and metadata excluded.
    file_share
        Their part of the file, 0 to 1.
    """

    path: str
    type: str
    encodings: tuple[str, ...]
    num_pages: int
    num_values: int
    encoded_bytes: int
    file_share: float

    @property
    def bits_per_value(self) -> float:
        """Encoded bits per value; 0 without values."""
        return 8 * self.encoded_bytes / self.num_values if self.num_values else 0.0


def column_sizes(path: Any, columns: Sequence[str] | None = None) -> list[ColumnSize]:
    """Return the sizes of the columns of a file; only metadata is read.

    Parameters
    ----------
    path
        What :class:`~lancelet.file.reader.FileReader` takes.
    columns
        Paths of fields; by default all.

    Raises
    ------
    FormatError
        The file is no Lance file, or its metadata is damaged.
    OptionError
        A column does not exist.
    """
    with borrow_source(path) as source:
        container = Container.open(source)
        return [_size(column, source.name, source.size()) for column in physical_columns(container, columns)]


def _size(column: PhysicalColumn, name: str, file_bytes: int) -> ColumnSize:
    encodings: dict[str, None] = {}
    num_values = 0
    for number, page in enumerate(column.metadata.pages):
        try:
            anatomy = describe_page(page)
        except FormatError as error:
            raise error.locate(path=name, column=column.index, page=number) from None
        encodings.setdefault(str(anatomy))
        num_values += page.num_rows if anatomy.num_items is None else anatomy.num_items
    return ColumnSize(
        path=column.path,
        type=str(column.field.arrow_type),
        encodings=tuple(encodings),
        num_pages=len(column.metadata.pages),
        num_values=num_values,
        encoded_bytes=column.encoded_bytes,
        file_share=column.encoded_bytes / file_bytes,
    )
