"""Expressions that compute a column: values and types are pylance's."""

from __future__ import annotations

import pickle
import random
from decimal import Context, Decimal

import pyarrow as pa
import pytest

from filter_judges import BATCH, TABLE, by_pylance, value_by_us
from lancelet.filters import compile_expression
from lancelet.testing import assert_tables_equal

SAME = [
    "i32",
    "st",
    "st.B",
    "st['B']['c']",
    "l[1]",
    "fsl[2]",
    "cap",
    "i32 + 1",
    "i32 - i64",
    "i8 + i32",
    "u8 + i8",
    "u64 + i64",
    "f16 + 1",
    "f32 + 1.5",
    "f32 * f64",
    "i64 + f32",
    "i32 / 2",
    "i32 % 2",
    "f64 % 1",
    "-i8",
    "-dec",
    "dec + 1",
    "dec + dec",
    "dec * dec",
    "dec / 2",
    "dec + i32",
    "dec + f64",
    "d - d",
    "ts - ts",
    "s || 'x'",
    "ls || 'x'",
    "dict || 'x'",
    "s || i32",
    "s || NULL",
    "CAST(i32 AS STRING)",
    "CAST(i32 AS SMALLINT)",
    "CAST(i32 AS DOUBLE)",
    "CAST(i32 AS DECIMAL(10, 2))",
    "CAST(i32 AS DATE)",
    "CAST(i64 AS TIMESTAMP)",
    "CAST(dec AS INT)",
    "CAST(dec AS DECIMAL(5, 1))",
    "CAST(dec AS STRING)",
    "CAST(b AS INT)",
    "CAST(d AS STRING)",
    "CAST(s AS BINARY)",
    "CAST(ts AS DATE)",
    "CAST(g AS FLOAT)",
    "TRY_CAST(s AS INT)",
    "TRY_CAST(i64 AS TINYINT)",
    "i32::BIGINT",
    "coalesce(i32, 0)",
    "coalesce(i32, f64)",
    "nullif(i32, 1)",
    "abs(i32)",
    "abs(dec)",
    "lower(s)",
    "upper(ls)",
    "length(s)",
    "octet_length(s)",
    "concat(s, t)",
    "replace(s, 'b', 'x')",
    "reverse(s)",
    "ltrim(s, 'a')",
    "round(f64)",
    "round(i32)",
    "round(f32)",
    "sqrt(g)",
    "power(i32, 2)",
    "isnan(f64)",
    "starts_with(s, 'a')",
    "date_part('year', d)",
    "date_part('dow', ts)",
    "array_length(l)",
    "array_has(l, 1)",
    "array_has(l, NULL)",
    "i32 > 1",
    "b AND c",
    "i32 IN (1, NULL)",
    "i32 BETWEEN 1 AND i64",
    "s LIKE 'a%'",
    "st.a IS NULL",
]


@pytest.fixture(scope="module")
def pylance() -> dict[str, pa.Table | str]:
    return dict(zip(SAME, by_pylance([], SAME)[1], strict=True))


@pytest.mark.parametrize("text", SAME)
def test_pylance_computes_the_same(text: str, pylance: dict[str, pa.Table | str]) -> None:
    theirs = pylance[text]
    assert isinstance(theirs, pa.Table), theirs
    assert_tables_equal(pa.table({"x": value_by_us(text)}), pa.table({"x": theirs.column(0)}))


@pytest.mark.parametrize("text", SAME)
def test_it_survives_pickling_and_tables_of_batches(text: str) -> None:
    expression = pickle.loads(pickle.dumps(compile_expression(text, TABLE.schema)))
    expected = expression.evaluate(BATCH)
    assert str(expression) == text
    parts = pa.Table.from_batches([BATCH.slice(0, 2), BATCH.slice(2, 0), BATCH.slice(2, 3)])
    found = expression.evaluate(parts)
    assert found.type == expression.type
    assert_tables_equal(pa.table({"x": found}), pa.table({"x": expected}))
    assert expression.evaluate(BATCH.slice(0, 0)).type == expression.type


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1 = 1", ()),
        ("i32 > 1", ("i32",)),
        ("CAP > 1 AND cap < 3", ("Cap",)),
        ("st.a > 1", ("st.a",)),
        ("st.a > 1 AND st.B.c = 'x'", ("st.a", "st.B.c")),
        ("st.B.c = 'x' OR st.B IS NULL", ("st.B",)),
        ("st IS NULL AND st.a = 1", ("st",)),
        ("l[i32] = 1", ("l", "i32")),
        ("`odd name` IN (1, i64)", ("odd name", "i64")),
        ("CASE WHEN b THEN s ELSE t END = lower(ls)", ("b", "s", "t", "ls")),
    ],
)
def test_the_columns_are_what_it_needs(text: str, columns: tuple[str, ...]) -> None:
    expression = compile_expression(text, TABLE.schema)
    assert sorted(expression.columns) == sorted(columns)
    needed = [name for name in BATCH.schema.names if name in {column.partition(".")[0] for column in columns}]
    assert expression.evaluate(BATCH.select(needed)).equals(expression.evaluate(BATCH))


def test_fields_with_dots_stand_in_back_ticks() -> None:
    schema = pa.schema({"s": pa.struct({"a.b": pa.int32(), "c": pa.int32()})})
    assert compile_expression("s.`a.b` + 1", schema).columns == ("s.`a.b`",)


def test_a_struct_with_the_needed_fields_is_enough() -> None:
    narrow = pa.record_batch({"st": pa.array([{"a": 1}, None, {"a": None}], pa.struct([("a", pa.int32())]))})
    assert compile_expression("st.a + 1", TABLE.schema).evaluate(narrow).to_pylist() == [2, None, None]


def test_a_guard_keeps_the_other_side_from_rows_that_it_cannot_take() -> None:
    table = pa.record_batch({"a": [6, 6, None], "b": [0, 3, 0]})
    for text, expected in [
        ("b <> 0 AND a / b = 2", [False, True, False]),
        ("b = 0 OR a / b = 2", [True, True, True]),
        ("CASE WHEN b = 0 THEN FALSE ELSE a / b = 2 END", [False, True, False]),
        ("CASE WHEN b <> 0 THEN a / b END = 2", [None, True, None]),
    ]:
        assert compile_expression(text, table.schema).evaluate(table).to_pylist() == expected


@pytest.mark.parametrize("type_", [pa.int8(), pa.uint32(), pa.int64()])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a / 2.0", [0.5, 1.5]),
        ("a / 4e0", [0.25, 0.75]),
        ("3.0 / a", [3.0, 1.0]),
        ("a * 1.0", [1.0, 3.0]),
        ("a % 2.0", [1.0, 1.0]),
        ("a * 2.5", [2.5, 7.5]),
    ],
)
def test_a_fraction_beside_integers_is_no_integer(type_, text, expected) -> None:
    """Whoever writes ``minutes / 60.0`` wants hours with a fraction, and pylance refuses."""
    batch = pa.record_batch({"a": pa.array([1, 3, None], type_)})
    expression = compile_expression(text, batch.schema)
    found = expression.evaluate(batch)
    assert found.type == expression.type == pa.float64()
    assert found.to_pylist() == [*expected, None]


@pytest.mark.parametrize("type_", [pa.decimal128(10, 2), pa.decimal128(38, 20), pa.decimal256(60, 6)])
def test_decimals_become_the_nearest_floating_point_numbers(type_) -> None:
    """Arrow multiplies by a rounded power of ten: 0.050000 was not 0.05, and ``dec / 2 = 0.05`` not true for 0.10."""
    chance = random.Random(6)
    digits = min(type_.precision, 30)
    values = [Decimal(chance.randrange(10**digits)).scaleb(-type_.scale, Context(80)) for _ in range(500)]
    batch = pa.record_batch({"d": pa.array([*values, None], type_)})
    for text in ("CAST(d AS DOUBLE)", "coalesce(CAST(d AS DOUBLE), 0.0)"):
        found = compile_expression(text, batch.schema).evaluate(batch).to_pylist()
        assert found[:-1] == [float(value) for value in values]
    halves = pa.record_batch({"d": pa.array([Decimal("0.10"), Decimal("0.30"), None], pa.decimal128(10, 2))})
    found = compile_expression("d / 2 = 0.05 OR d / 2 = 0.15", halves.schema).evaluate(halves)
    assert found.to_pylist() == [True, True, None]


def test_slices_are_read_where_they_are() -> None:
    for text in (
        "l[1]",
        "fsl[2]",
        "array_has(l, 7)",
        "array_length(fsl)",
        "array_has(fsl, 6)",
        "i32 % 2",
        "f64 % 1",
    ):
        whole = value_by_us(text)
        found = compile_expression(text, TABLE.schema).evaluate(BATCH.slice(2, 3))
        assert_tables_equal(pa.table({"x": found}), pa.table({"x": whole.slice(2)}))
