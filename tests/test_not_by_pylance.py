"""Tables that pylance cannot write, or writes but cannot read: the golden index calls them disputed, panic or refused.

Each is written by us and read back equal, and by pylance 14.0.2 where it can; or it is refused, with a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
import test_oracle
from golden_index import cases_without_file
from lancelet.errors import OptionError
from lancelet.testing import as_read_back, assert_tables_equal, nested
from oracle import OracleError, oracle

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("2.1", "2.2")
PACKED = {"lance-encoding:packed": "true"}


def random_table(*fields: pa.Field, batches: tuple[int, ...], lengths: str = "few") -> pa.Table:
    """Return batches of slices of larger arrays, with nulls and noise at each depth."""
    made = [
        pa.record_batch(
            [
                nested.build_nested(
                    nested.NestedPlan(field, num_rows, "random", lengths, (0.2, 0.1), (7, 1, 0), seed)
                )
                for field in fields
            ],
            schema=pa.schema(fields),
        )
        for seed, num_rows in enumerate(batches)
    ]
    return pa.Table.from_batches(made)


def rand_03() -> pa.Table:
    """Structs in structs with lists of large lists, in sliced batches: pylance panics on the slices."""
    left = pa.struct([("s0", pa.large_list(pa.uint8())), ("s1", pa.list_(pa.bool_())), ("s2", pa.bool_())])
    deep = pa.struct([pa.field("s0", pa.struct([("s0", pa.uint8())]), nullable=False), ("s1", pa.int64())])
    b = pa.struct([("s0", left), pa.field("s1", deep, nullable=False)])
    return random_table(pa.field("a", pa.int64()), pa.field("b", b), batches=(97, 105, 38, 155))


def column(
    values: Any, arrow_type: pa.DataType, name: str = "v", metadata: dict[str, str] | None = None
) -> pa.Table:
    schema = pa.schema([pa.field(name, arrow_type, metadata=metadata)])
    return pa.Table.from_arrays([pa.array(values, arrow_type)], schema=schema)


def empty_structs() -> pa.Table:
    structs = pa.Array.from_buffers(pa.struct([]), 20, [None], 0, children=[])
    return pa.table({"e": structs, "i": pa.array(range(20), pa.int32())})


def empty_structs_with_nulls() -> pa.Table:
    validity = pa.py_buffer(np.packbits([True, False, True], bitorder="little"))
    return pa.table({"e": pa.Array.from_buffers(pa.struct([]), 3, [validity], children=[])})


POINT = pa.struct([("f0", pa.int32()), ("f1", pa.float64())])
TEXT_POINT = pa.struct([("f0", pa.int32()), ("f1", pa.string())])

WRITTEN = {
    "nest_emptystruct": empty_structs,
    "no_columns": lambda: pa.table({}),
    "packed_nulls of whole structs": lambda: column([{"f0": 1, "f1": 2.0}, None], POINT, "p", PACKED),
    "rand_03": rand_03,
}
"""Tables that we write, in both versions."""

NOT_READ = {
    "nest_emptystruct": "columns behind an empty struct are read from the column before their own",
    "no_columns": "refuses a file without columns",
}
"""What pylance 14.0.2 cannot read, of no writer."""

REFUSED = {
    "nest_emptystruct_nulls": (empty_structs_with_nulls, "cannot be null.* only from version 2.3"),
    "nest_emptystruct_in_list": (
        lambda: column([[{}], []], pa.list_(pa.struct([])), "le"),
        "an empty struct inside of a list cannot be stored in version 2.[12], only from 2.3 on",
    ),
    "fsl_string": (lambda: column([["a", "b"]], pa.list_(pa.string(), 2)), "fixed-size list.* string"),
    "fsl_list": (
        lambda: column([[[1], [2]]], pa.list_(pa.list_(pa.int32()), 2)),
        "items of a fixed-size list cannot be of type list<item: int32>",
    ),
    "packed_bool": (
        lambda: column(
            [{"f0": True, "f1": 1}], pa.struct([("f0", pa.bool_()), ("f1", pa.int32())]), "p", PACKED
        ),
        r"a packed struct with a child of type bool \('f0'\) cannot be stored in version 2.[12]",
    ),
    "packed_nulls": (lambda: column([{"f0": None, "f1": 2.0}] * 3, POINT, "p", PACKED), "field 'p'.*null"),
    "packed_var_nulls": (
        lambda: column([{"f0": 1, "f1": None}] * 3, TEXT_POINT, "p", PACKED),
        "field 'p'.*(null|only from 2.2 on)",
    ),
    "blob_binary": (
        lambda: column([b"x"], pa.binary(), "b", {"lance-encoding:blob": "true"}),
        "must be of type large_binary, not binary",
    ),
    "names_dot": (lambda: pa.table({"a.b": [1], "a": [{"b": 1}]}), r"'a\.b'"),
    "names_dup": (lambda: pa.table([[1], [2]], names=["a", "a"]), "'a'"),
    "large_runend": (
        lambda: pa.table({"r": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([1]))}),
        "run_end_encoded",
    ),
    "list_view": (lambda: column([[1]], pa.list_view(pa.int32()), "lv"), "list_view"),
    "decimal_small": (lambda: column([None], pa.decimal32(7, 2), "d"), "decimal32"),
    "interval": (lambda: column([None], pa.month_day_nano_interval(), "iv"), "month_day_nano_interval"),
}
"""What no file of 2.1 or 2.2 can hold, with what the error says."""


@pytest.mark.parametrize("version", VERSIONS)
def test_every_case_of_the_index_is_here(version: str) -> None:
    in_test_oracle = {name.split(".")[0] for other, name in test_oracle.REFUSED if other == version}
    assert cases_without_file(version) <= {*WRITTEN, *REFUSED, *in_test_oracle}


def write(path: Path, table: pa.Table, version: str) -> None:
    """Write a table, one batch per chunk."""
    with lancelet.FileWriter(str(path), table.schema, version=version) as writer:
        writer.write_batches(table.to_batches())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", WRITTEN)
def test_written(name: str, version: str, tmp_path: Path) -> None:
    table, path = WRITTEN[name](), tmp_path / "ours.lance"
    write(path, table, version)
    reader = lancelet.FileReader(str(path))
    wanted = as_read_back(table)
    assert_tables_equal(reader.read_all().to_table(), wanted, metadata=True)
    if name in NOT_READ:
        with pytest.raises((AssertionError, OracleError)):
            assert_tables_equal(oracle("14.0.2").read(path)[0], wanted)
    else:
        assert_tables_equal(oracle("14.0.2").read(path)[0], wanted)
    if table.num_rows == 0:
        return
    start, num_rows = table.num_rows // 3, table.num_rows // 2
    assert_tables_equal(reader.read_range(start, num_rows).to_table(), wanted.slice(start, num_rows))
    rows = [table.num_rows - 1, 0, table.num_rows // 2, 0]
    assert_tables_equal(reader.take_rows(rows).to_table(), wanted.take(rows))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, version: str, tmp_path: Path) -> None:
    build, reason = REFUSED[name]
    with pytest.raises(OptionError, match=reason):
        write(tmp_path / "ours.lance", build(), version)
    assert not list(tmp_path.iterdir())
