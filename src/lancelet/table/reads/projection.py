"""What a read gives: columns of the result, the fields that they need, and those that a filter needs before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from lancelet.errors import FormatError, OptionError
from lancelet.fields.joining import join
from lancelet.schema.fields import Schema
from lancelet.schema.project import find_field, project_overlapping
from lancelet.schema.text import is_text
from lancelet.table.formats.column_names import ROW_ADDRESS, ROW_ID, SYSTEM_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.schema.blobs import BlobView
    from lancelet.schema.fields import Field
    from lancelet.table.reads.parts import ReadFields
    from lancelet.table.reads.snapshot import Snapshot

    Arrays = list[pa.Array]
    #: Values of top-level fields and system columns, by name.
    Values = Mapping[str, Arrays]

__all__ = ["Output", "Projection", "Wanted", "as_batch"]

_QUOTED = re.compile(r"`([^`]*\.[^`]*)`")


class Wanted(NamedTuple):
    """What is read of the rows of a fragment.

    Attributes
    ----------
    fields
        Fields of data files.
    system
        Names of columns that no file holds.
    """

    fields: ReadFields
    system: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in the order in which they are read."""
        return (*(field.name for field in self.fields.schema.fields), *self.system)

    def __bool__(self) -> bool:
        return bool(self.fields.schema.fields or self.system)


class Output(NamedTuple):
    """A column of the result.

    Attributes
    ----------
    field
        Its Arrow field.
    source
        The top-level field or system column that it comes from; ``""``: an expression.
    path
        Names of the children of structs on the way down to it.
    expression
        What computes it.
    parts
        Paths of what is wanted of the field, if not all.
    """

    field: pa.Field
    source: str
    path: tuple[str, ...] = ()
    expression: Any = None
    parts: tuple[str, ...] = ()


class Projection:
    """Columns of a result. Threads share it.

    Parameters
    ----------
    snapshot
        The version of the dataset.
    columns
        Names (``"a.b"`` for a child of a struct), or new names and the SQL expressions that compute them; ``None``: all fields.
    filter
        What rows must satisfy; an expression in SQL, or one of ``pyarrow.compute``.
    with_row_id, with_row_address
        Give ``_rowid`` and ``_rowaddr`` after the others, if they are not among them.
    blobs
        What is shown of blobs.
    flat
        Children of structs become columns of their own, with their paths as names, as scans give them. Otherwise they stay in
        structs that have only what is wanted, as takes give them.

    Attributes
    ----------
    early, late
        What is read of all rows for the filter, and of the rows that satisfy it.
    outputs
        The columns of the result.
    arrow_schema
        Their schema.

    Raises
    ------
    OptionError
        A column does not exist or is asked for twice, or an expression is none.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        filter: Any = None,
        *,
        with_row_id: bool = False,
        with_row_address: bool = False,
        blobs: BlobView = "descriptors",
        flat: bool = True,
    ) -> None:
        self._snapshot = snapshot
        self._schema = snapshot.stored_schema
        self._blobs = blobs
        self._shown = snapshot.fields(self._schema, blobs).shown
        self.filter: Any = None if filter is None else _compile_filter(filter, self._with_system())
        self.outputs = self._outputs(columns, flat)
        chosen = {output.source for output in self.outputs if output.source == output.field.name}
        for name, wanted in ((ROW_ID, with_row_id), (ROW_ADDRESS, with_row_address)):
            if wanted and name not in chosen:
                self.outputs.append(Output(pa.field(name, pa.uint64()), name))
        given: set[str] = set()
        for output in self.outputs:
            if output.field.name in given:
                raise OptionError(f"column {output.field.name!r} is asked for twice")
            given.add(output.field.name)
        metadata = snapshot.stored_schema.metadata or None
        self.arrow_schema = pa.schema([output.field for output in self.outputs], metadata=metadata)
        early_names = () if self.filter is None else self.filter.columns
        self.early = self._wanted(early_names)
        whole = self._wanted(self._names())
        self.late = self._without_early(whole)
        #: All that is read, where nothing is worth a second look at the rows.
        self.both = self._wanted((*early_names, *self._names()))
        #: What of `early` the result needs too.
        self.early_used = frozenset(whole.names) - frozenset(self.late.names)

    def counting(self) -> Projection:
        """Return the same filter with no columns."""
        found = copy(self)
        found.outputs, found.late, found.both = [], self._wanted(()), found.early
        found.early_used = frozenset()
        return found

    def evaluate(self, values: Values, num_rows: int) -> list[Arrays]:
        """Return the columns of the result from what was read."""
        return [self._column(output, values, num_rows) for output in self.outputs]

    def _column(self, output: Output, values: Values, num_rows: int) -> Arrays:
        if output.expression is not None:
            needed = project_overlapping(self._schema, _fields_only(output.expression.columns))
            names = [field.name for field in needed.fields]
            names += [name for name in output.expression.columns if name in SYSTEM_COLUMNS]
            batch = as_batch({name: values[name] for name in names}, num_rows)
            found = output.expression.evaluate(batch)
            return list(found.chunks) if isinstance(found, pa.ChunkedArray) else [found]
        arrays = values[output.source]
        for name in output.path:
            arrays = [_child(array, name) for array in arrays]
        return arrays

    def _outputs(self, columns: Sequence[str] | Mapping[str, str] | None, flat: bool) -> list[Output]:
        if columns is None:
            return [Output(field.to_arrow(), field.name) for field in self._shown.fields]
        if isinstance(columns, Mapping):
            return [self._computed(name, text) for name, text in columns.items()]
        if isinstance(columns, str) or not isinstance(columns, Iterable):
            raise OptionError(f"columns must be a list of names, not {columns!r}")
        if flat:
            return [self._named(name) for name in columns]
        system = [name for name in columns if name in SYSTEM_COLUMNS]
        pruned = self._fields(project_overlapping(self._schema, _fields_only(columns))).shown
        heads = {name: name if name in system else find_field(self._schema, name)[0].name for name in columns}
        found = {name: Output(pa.field(name, pa.uint64()), name) for name in system}
        for field in pruned.fields:
            parts = tuple(name for name, head in heads.items() if head == field.name)
            found[field.name] = Output(field.to_arrow(), field.name, parts=parts)
        return [found[name] for name in dict.fromkeys(heads.values())]

    def _named(self, name: str) -> Output:
        if name in SYSTEM_COLUMNS:
            return Output(pa.field(name, pa.uint64()), name)
        top, *below = find_field(self._shown, name)
        if not below:
            return Output(top.to_arrow(), top.name)
        field = below[-1].to_arrow()
        is_nullable = any(found.nullable for found in (top, *below))
        return Output(
            field.with_name(name).with_nullable(is_nullable),
            top.name,
            tuple(found.name for found in below),
        )

    def _computed(self, name: str, text: str) -> Output:
        if not is_text(name) or not is_text(text):
            raise OptionError(
                f"column {name!r} is {text!r}; both the name and the expression in SQL are text"
            )
        plain = text.strip()
        if plain in SYSTEM_COLUMNS or any(field.name == plain for field in self._shown.fields):
            found = self._named(plain)
            return found._replace(field=found.field.with_name(name))
        from lancelet.filters import compile_expression  # imports a parser

        expression = compile_expression(text, self._with_system())
        return Output(pa.field(name, expression.type), "", (), expression)

    def _with_system(self) -> pa.Schema:
        """Return the schema that expressions may refer to."""
        schema = self._shown.to_arrow()
        for name in SYSTEM_COLUMNS:
            if name not in schema.names:
                schema = schema.append(pa.field(name, pa.uint64()))
        return schema

    def _names(self) -> Iterable[str]:
        """Names of the fields and system columns that the result needs."""
        for output in self.outputs:
            if output.expression is not None:
                yield from output.expression.columns
            elif output.parts:
                yield from output.parts
            else:
                yield ".".join((output.source, *output.path))

    def _wanted(self, names: Iterable[str]) -> Wanted:
        names = list(names)
        system = tuple(name for name in SYSTEM_COLUMNS if name in names)
        return Wanted(self._fields(project_overlapping(self._schema, _fields_only(names))), system)

    def _fields(self, schema: Schema) -> ReadFields:
        return self._snapshot.fields(schema, self._blobs)

    def _without_early(self, late: Wanted) -> Wanted:
        """Leave out what the filter has read already."""
        known = {_shape(field) for field in self.early.fields.schema.fields}
        fields = tuple(field for field in late.fields.schema.fields if _shape(field) not in known)
        system = tuple(name for name in late.system if name not in self.early.system)
        return Wanted(self._fields(Schema(fields)), system)


def _fields_only(names: Iterable[str]) -> list[str]:
    """Leave out system columns, and the back-ticks that expressions have around names with dots."""
    return [_QUOTED.sub(r"\1", name) for name in names if name not in SYSTEM_COLUMNS]


def _shape(field: Field) -> tuple[int, ...]:
    return tuple(found.id for found in field.walk())


def _compile_filter(filter: Any, schema: pa.Schema) -> Any:
    from lancelet.filters import compile_filter  # imports a parser

    return compile_filter(filter, schema)


def _child(array: pa.Array, name: str) -> pa.Array:
    """Return a child of structs, null where its struct is null."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    index = array.type.get_field_index(name)
    if index < 0:
        raise FormatError(f"a struct has no child {name!r}, or several")
    return array.flatten()[index]


def as_batch(values: Values, num_rows: int) -> pa.RecordBatch:
    """Return columns as one batch.

    Raises
    ------
    OptionError
        No array can hold the values of a column.
    """
    arrays = []
    for name, parts in values.items():
        joined = join(parts)
        if joined is None:
            raise OptionError(f"column {name!r}: no array can hold so many values; read fewer rows at a time")
        arrays.append(joined)
    if not arrays:
        return pa.RecordBatch.from_struct_array(
            pa.StructArray.from_buffers(pa.struct([]), num_rows, [None], children=[])
        )
    return pa.RecordBatch.from_arrays(arrays, names=list(values))
