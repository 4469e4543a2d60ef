"""The physical columns of a file under the paths of their fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancelet.errors import FormatError, OptionError
from lancelet.schema.fields import Schema
from lancelet.schema.project import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lancelet.container.metadata import ColumnMetadata
    from lancelet.container.reader import Container
    from lancelet.schema.fields import Field

__all__ = ["PhysicalColumn", "field_paths", "physical_columns", "read_schema"]


@dataclass(frozen=True, slots=True)
class PhysicalColumn:
    """One column as it is stored.

    Attributes
    ----------
    index
        Its number in the file.
    path
        Names from the top-level field down to the field that owns the column, joined by dots.
    field
        That field.
    metadata
        Pages and buffers.
    """

    index: int
    path: str
    field: Field
    metadata: ColumnMetadata

    @property
    def encoded_bytes(self) -> int:
        """Bytes of all buffers of the column, padding excluded."""
        pages = sum(buffer.size for page in self.metadata.pages for buffer in page.buffers)
        return pages + sum(buffer.size for buffer in self.metadata.buffers)


def field_paths(schema: Schema) -> Iterator[tuple[str, int, Field]]:
    """Yield ``(path, depth, field)`` for all fields, parents before their children; top-level fields have depth 0."""

    def below(fields: Iterable[Field], prefix: str, depth: int) -> Iterator[tuple[str, int, Field]]:
        for field in fields:
            path = prefix + field.name
            yield path, depth, field
            yield from below(field.children, f"{path}.", depth + 1)

    yield from below(schema.fields, "", 0)


def read_schema(container: Container) -> Schema:
    """Return the schema of an open file."""
    try:
        return Schema.from_message(container.schema_message)
    except FormatError as error:
        raise error.locate(path=container.source.name) from None


def physical_columns(container: Container, names: Sequence[str] | None = None) -> list[PhysicalColumn]:
    """Return the physical columns of a file in their order.

    Parameters
    ----------
    container
        The open file.
    names
        Paths of fields; their columns and those of all fields below them are returned. By default all.

    Raises
    ------
    FormatError
        The schema or the metadata of a column is damaged, or the file has fewer columns than its schema needs.
    OptionError
        A name is not the path of a field.
    """
    schema = read_schema(container)
    owners = columns_of(schema, container.version)
    paths = [(path, field) for path, _, field in field_paths(schema)]
    for name in names or ():
        if name not in {path for path, _ in paths}:
            known = ", ".join(path for path, _ in paths)
            raise OptionError(f"the file has no column {name!r}; it has {known}")
    found = []
    for path, field in paths:
        index = owners.get(field.id)
        if index is None or not _wanted(path, names):
            continue
        if index >= container.num_columns:
            raise FormatError(
                f"field {path!r} needs column {index}, and the file has {container.num_columns}",
                path=container.source.name,
            )
        found.append(PhysicalColumn(index, path, field, container.column(index)))
    return found


def _wanted(path: str, names: Sequence[str] | None) -> bool:
    return names is None or any(path == name or path.startswith(f"{name}.") for name in names)
