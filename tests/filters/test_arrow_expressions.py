"""Filters that are expressions of pyarrow."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lancelet.errors import OptionError
from lancelet.filters import compile_expression, compile_filter

SCHEMA = pa.schema(
    {
        "a": pa.int64(),
        "add": pa.int64(),
        "rows": pa.int64(),
        "s": pa.struct([("x", pa.int32()), ("a", pa.int8())]),
        "odd (name)": pa.int8(),
        "d": pa.dictionary(pa.int32(), pa.string()),
    }
)
BATCH = pa.record_batch(
    {
        "a": [1, None, 3],
        "add": [1, 2, 3],
        "rows": [1, 2, None],
        "s": [{"x": 1, "a": 2}, None, {"x": None, "a": 5}],
        "odd (name)": pa.array([1, 2, None], pa.int8()),
        "d": pa.array(["p", None, "q"]).dictionary_encode(),
    },
    schema=SCHEMA,
)
FIELD = pc.field


@pytest.mark.parametrize(
    ("expression", "columns", "expected"),
    [
        (FIELD("a") + 1 > 2, ("a",), [False, False, True]),
        (FIELD("add") > 1, ("add",), [False, True, True]),
        (FIELD("rows") > 1, ("rows",), [False, True, False]),
        (~(FIELD("a") > 1), ("a",), [True, False, False]),
        (FIELD("s", "x") == 1, ("s",), [True, False, False]),
        (FIELD(("s", "a")) > 2, ("s",), [False, False, True]),
        (FIELD("odd (name)") > 1, ("odd (name)",), [False, True, False]),
        (FIELD("d") == "p", ("d",), [True, False, False]),
        (FIELD("a").isin([1, 7]), ("a",), [True, False, False]),
        (FIELD("a").is_null(), ("a",), [False, True, False]),
        ((FIELD("a") > 1) | (FIELD("rows") == 2), ("a", "rows"), [False, True, True]),
        (pc.scalar(True), (), [True, True, True]),
        (pc.starts_with(FIELD("d").cast("string"), "q"), ("d",), [False, False, True]),
    ],
    ids=str,
)
def test_it_keeps_the_rows(expression: pc.Expression, columns: tuple[str, ...], expected: list[bool]) -> None:
    condition = compile_filter(expression, SCHEMA)
    assert condition.columns == columns
    for one in (condition, pickle.loads(pickle.dumps(condition))):
        assert one.mask(BATCH.select(list(columns)) if columns else BATCH).to_pylist() == expected
        assert one.mask(BATCH.slice(1)).to_pylist() == expected[1:]
        assert one.mask(pa.Table.from_batches([BATCH, BATCH])).to_pylist() == expected * 2
        assert one.mask(BATCH.slice(0, 0)).to_pylist() == []


def test_it_computes_a_column() -> None:
    expression = compile_expression(FIELD("a") * 2, SCHEMA)
    assert expression.type == pa.int64()
    assert expression.evaluate(BATCH).to_pylist() == [2, None, 6]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (FIELD("nope") > 1, "nope"),
        (FIELD(0) > 1, "non-name field_refs"),
        (FIELD("s", "nope") > 1, "nope"),
        (FIELD("a") == "x", "no kernel"),
        (FIELD("a") + 1, "a filter is a condition"),
    ],
    ids=str,
)
def test_it_is_refused(expression: pc.Expression, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compile_filter(expression, SCHEMA)


def test_errors_of_values_are_option_errors() -> None:
    condition = compile_filter(FIELD("a") / (FIELD("a") - 1) > 0, SCHEMA)
    with pytest.raises(OptionError, match="divide by zero"):
        condition.mask(BATCH)
    with pytest.raises(OptionError, match="needs column 'a'"):
        condition.mask(BATCH.select(["rows"]))


def test_columns_of_one_name_are_refused() -> None:
    with pytest.raises(OptionError, match="different names"):
        compile_filter(FIELD("a") > 1, pa.schema([("a", pa.int8()), ("a", pa.int8())]))


@pytest.mark.parametrize("name", ["\0", "_", "__", "(_ > 3)"])
def test_a_column_may_have_any_name(name) -> None:
    """Where an expression needs no column, it is given one that it cannot name."""
    batch = pa.record_batch({name: [3, 4], "a": [9, 9]})
    condition = compile_filter(FIELD(name) > 3, batch.schema)
    assert condition.columns == (name,)
    assert condition.mask(batch).to_pylist() == [False, True]
    with pytest.raises(OptionError):
        compile_filter(FIELD(name) > 3, pa.schema({"a": pa.int64()}))
