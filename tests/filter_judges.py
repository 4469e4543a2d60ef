"""A table with everything in it, and what pylance, DuckDB and lancelet answer about it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from lancelet.filters import compile_expression, compile_filter
from oracle import oracle

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTANTS = [
    dt.datetime(2020, 1, 1, 1, 2, 3),
    None,
    dt.datetime(1969, 12, 31),
    dt.datetime(2021, 5, 9, 23, 59, 59, 999999),
    dt.datetime(2020, 2, 29, 12),
]
DAYS = [None if instant is None else instant.date() for instant in INSTANTS]
NUMBERS = [1, None, -3, 7, 0]
COUNTS = [1, None, 3, 255, 0]
FRACTIONS = [1.5, None, float("nan"), 0.1, -2.5]


def floats(type_: pa.DataType) -> pa.Array:
    values = np.array([np.nan if one is None else one for one in FRACTIONS], type_.to_pandas_dtype())
    return pa.array(values, type_, mask=np.array([one is None for one in FRACTIONS]))


def make_table() -> pa.Table:
    texts = ["abc", None, "", "ABC%", "Straße\n_x"]
    decimals = [Decimal("1.50"), None, Decimal("-3.00"), Decimal("7.25"), Decimal("0.01")]
    structs = [
        {"a": 1, "B": {"c": "q"}},
        None,
        {"a": None, "B": None},
        {"a": 5, "B": {"c": "z"}},
        {"a": 0, "B": {"c": ""}},
    ]
    return pa.table(
        {
            **{f"i{bits}": pa.array(NUMBERS, getattr(pa, f"int{bits}")()) for bits in (8, 16, 32)},
            "i64": pa.array([1, None, -3, 2**53 + 1, 0], pa.int64()),
            **{f"u{bits}": pa.array(COUNTS, getattr(pa, f"uint{bits}")()) for bits in (8, 16, 32)},
            "u64": pa.array([1, None, 3, 2**64 - 1, 0], pa.uint64()),
            "f16": floats(pa.float16()),
            "f32": floats(pa.float32()),
            "f64": floats(pa.float64()),
            "g": pa.array([0.5, 2.0, float("nan"), 0.1, float("inf")]),
            "s": pa.array(texts),
            "ls": pa.array(texts, pa.large_string()),
            "t": pa.array(["abc", "x", None, "", "b"]),
            "b": pa.array([True, None, False, True, False]),
            "c": pa.array([None, None, True, True, False]),
            "bin": pa.array([b"abc", None, b"", b"\xff", b"a"]),
            "fsb": pa.array([b"abc", None, b"xyz", b"\xff\x00\x01", b"abe"], pa.binary(3)),
            "d": pa.array(DAYS, pa.date32()),
            "d64": pa.array(DAYS, pa.date64()),
            "ts": pa.array(INSTANTS, pa.timestamp("us")),
            "tss": pa.array(INSTANTS, pa.timestamp("us")).cast(pa.timestamp("s"), safe=False),
            "tsn": pa.array(INSTANTS, pa.timestamp("ns")),
            "tsz": pa.array(INSTANTS, pa.timestamp("us", "UTC")),
            "tsp": pa.array(INSTANTS, pa.timestamp("us", "Europe/Paris")),
            "t32": pa.array([1, None, 3, 86399, 0], pa.time32("s")),
            "t64": pa.array([1_000_000, None, 3, 4, 0], pa.time64("us")),
            "dur": pa.array(NUMBERS, pa.duration("us")),
            "dec": pa.array(decimals, pa.decimal128(10, 2)),
            "dec256": pa.array(decimals, pa.decimal256(40, 2)),
            "dict": pa.array(["x", None, "y", "x", ""]).dictionary_encode(),
            "st": pa.array(structs, pa.struct([("a", pa.int32()), ("B", pa.struct([("c", pa.string())]))])),
            "l": pa.array([[1, 2], None, [], [None, 3], [7]], pa.list_(pa.int32())),
            "fsl": pa.array(
                [[1.0, 2.0], None, [3.0, 4.0], [5.0, 6.0], [0.0, 1.0]], pa.list_(pa.float32(), 2)
            ),
            "Cap": pa.array([1, None, 3, 4, 0]),
            "odd name": pa.array([1, None, 3, 4, 0]),
            "n": pa.nulls(5),
        }
    )


TABLE = make_table()
BATCH = TABLE.combine_chunks().to_batches()[0]

#: What DuckDB has no type for.
_NOT_IN_DUCKDB = ("f16", "dec256", "fsb", "n")


def by_us(text: str, table: pa.Table = TABLE) -> list[int]:
    """Numbers of the rows for which a filter is true."""
    mask = compile_filter(text, table.schema).mask(table)
    assert mask.null_count == 0
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()


def value_by_us(text: str) -> pa.Array:
    """A column that an expression computes."""
    expression = compile_expression(text, TABLE.schema)
    found = expression.evaluate(BATCH)
    assert found.type == expression.type
    assert len(found) == BATCH.num_rows
    return found


def by_pylance(
    filters: Sequence[str], expressions: Sequence[str] = (), table: pa.Table = TABLE
) -> tuple[list[list[int] | str], list[pa.Table | str]]:
    """What release 14.0.2 answers; an error is its text."""
    return oracle("14.0.2").answer_filters(table, filters, expressions)


def by_duckdb(texts: Sequence[str], table: pa.Table = TABLE) -> list[list[int] | str]:
    """What DuckDB answers; an error is its text."""
    kept = table.drop_columns([name for name in _NOT_IN_DUCKDB if name in table.column_names])
    rows = kept.append_column("row", pa.array(range(table.num_rows)))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.register("arrow_rows", rows)
        connection.execute("CREATE TABLE rows AS SELECT * FROM arrow_rows")
        return [_ask(connection, text) for text in texts]


def _ask(connection: duckdb.DuckDBPyConnection, text: str) -> list[int] | str:
    try:
        found = connection.execute(f"SELECT row FROM rows WHERE {text} ORDER BY row").fetchall()
    except duckdb.Error as error:
        return f"{type(error).__name__}: {error}"
    return [row for (row,) in found]
