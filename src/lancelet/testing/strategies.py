"""Hypothesis strategies for Arrow types, arrays and tables that a Lance file can hold.

A strategy draws a small description (type, rows, null density, shape of the values, seed, slice) and NumPy
fills the arrays from it: thousands of rows cost no more draws than ten, and a failing example shrinks to few rows
of a simple type and shape.

What lies below a null is noise, and arrays may be slices of larger ones, because real batches are like that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "FLAT_TYPES",
    "SHAPES",
    "ArrayPlan",
    "array_plans",
    "build_array",
    "flat_tables",
    "flat_types",
    "row_counts",
]

_UNITS = ("s", "ms", "us", "ns")

FLAT_TYPES: tuple[pa.DataType, ...] = (
    *(pa.null(), pa.bool_()),
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64()),
    *(
        pa.decimal128(1, 0),
        pa.decimal128(9, 2),
        pa.decimal128(38, 10),
        pa.decimal256(40, 5),
        pa.decimal256(76, 0),
    ),
    *(pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
    *(pa.timestamp(unit) for unit in _UNITS),
    *(
        pa.timestamp(unit, zone)
        for unit, zone in zip(_UNITS, ("UTC", "Europe/Oslo", "UTC", "America/Lima"), strict=True)
    ),
    *(pa.duration(unit) for unit in _UNITS),
    *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view(), pa.binary_view()),
    *(pa.binary(width) for width in (1, 2, 3, 4, 8, 16, 33, 100)),
    *(pa.uuid(), pa.bool8()),
)
"""Every flat type of the format, simplest first (the order in which examples shrink)."""

SHAPES = ("sequence", "constant", "few", "small", "runs", "random", "extremes")
"""How values are distributed: 0 1 2 ..; one; few distinct; near zero; runs; all bit patterns; the largest."""

_EDGE_ROWS = (0, 1, 2, 1023, 1024, 1025, 4095, 4096, 4097)

_TEXTS = (
    "",
    "a",
    "value",
    "ünï",
    "\N{SNOWMAN}",
    "\N{GRINNING FACE} two",
    "\0",
    "x" * 40,
    "https://example.org/items/",
)

_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


@dataclass(frozen=True, slots=True)
class ArrayPlan:
    """What :func:`build_array` needs to make one array.

    Attributes
    ----------
    arrow_type
        A flat type.
    num_rows
        Length of the array.
    shape
        One of :data:`SHAPES`.
    null_density
        Share of rows that are null, 0 to 1.
    seed
        Of the random generator.
    slice_start
        The array is a slice that starts at this row of a larger one.
    """

    arrow_type: pa.DataType
    num_rows: int
    shape: str = "random"
    null_density: float = 0.0
    seed: int = 0
    slice_start: int = 0


def flat_types() -> st.SearchStrategy[pa.DataType]:
    """Any flat type: numbers, times, decimals, text, bytes, fixed-size binary, extension types over these."""
    return st.sampled_from(FLAT_TYPES)


def row_counts(max_rows: int = 4097) -> st.SearchStrategy[int]:
    """Row counts up to ``max_rows``, half of them at borders of chunks (0, 1, 1023 to 1025, 4095 to 4097)."""
    edges = [num_rows for num_rows in _EDGE_ROWS if num_rows <= max_rows]
    return st.one_of(st.sampled_from(edges), st.integers(0, min(300, max_rows)))


@st.composite
def array_plans(
    draw: st.DrawFn, num_rows: int, types: st.SearchStrategy[pa.DataType] | None = None
) -> ArrayPlan:
    """Plans of arrays of a given length."""
    return ArrayPlan(
        arrow_type=draw(types or flat_types()),
        num_rows=num_rows,
        shape=draw(st.sampled_from(SHAPES)),
        null_density=draw(st.sampled_from([0.0, 0.01, 0.3, 0.9, 1.0])),
        seed=draw(st.integers(0, 2**32 - 1)),
        slice_start=draw(st.sampled_from([0, 1, 7, 8, 13])),
    )


@st.composite
def flat_tables(
    draw: st.DrawFn,
    max_columns: int = 4,
    max_rows: int = 4097,
    types: st.SearchStrategy[pa.DataType] | None = None,
) -> pa.Table:
    """Tables of flat columns, in one to four chunks (all columns are cut at the same rows).

    Parameters
    ----------
    draw
        Supplied by hypothesis.
    max_columns, max_rows
        Upper limits; there is at least one column.
    types
        Types of the columns; every flat type by default.
    """
    num_rows = draw(row_counts(max_rows))
    plans = draw(st.lists(array_plans(num_rows, types), min_size=1, max_size=max_columns))
    arrays = [build_array(plan) for plan in plans]
    fields = [
        pa.field(f"column {index}", array.type, nullable=_must_be_nullable(array) or draw(st.booleans()))
        for index, array in enumerate(arrays)
    ]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    cuts = sorted(draw(st.lists(st.integers(0, num_rows), max_size=3)))
    edges = [0, *cuts, num_rows]
    return pa.concat_tables([table.slice(start, stop - start) for start, stop in pairwise(edges)])


def _must_be_nullable(array: pa.Array) -> bool:
    return bool(array.null_count) or pa.types.is_null(array.type)


def build_array(plan: ArrayPlan) -> pa.Array:
    """Make the array that a plan describes; the same plan gives the same array."""
    rng = np.random.default_rng(plan.seed)
    num_rows = plan.num_rows + plan.slice_start + (3 if plan.slice_start else 0)
    array = _build(plan, num_rows, rng)
    return array.slice(plan.slice_start, plan.num_rows)


def _build(plan: ArrayPlan, num_rows: int, rng: np.random.Generator) -> pa.Array:
    arrow_type = plan.arrow_type
    if isinstance(arrow_type, pa.BaseExtensionType):
        storage = ArrayPlan(arrow_type.storage_type, num_rows, plan.shape, plan.null_density)
        return pa.ExtensionArray.from_storage(arrow_type, _build(storage, num_rows, rng))
    if pa.types.is_null(arrow_type):
        return pa.nulls(num_rows)
    valid = _validity(plan.null_density, num_rows, rng)
    if arrow_type in (pa.string_view(), pa.binary_view()):
        plain = pa.string() if arrow_type == pa.string_view() else pa.binary()
        return _variable_width(plan.shape, plain, num_rows, valid, rng).cast(arrow_type)
    if _is_variable_width(arrow_type):
        return _variable_width(plan.shape, arrow_type, num_rows, valid, rng)
    data = _fixed_width(plan.shape, arrow_type, num_rows, rng)
    return pa.Array.from_buffers(arrow_type, num_rows, [valid, data])


def _validity(null_density: float, num_rows: int, rng: np.random.Generator) -> pa.Buffer | None:
    if null_density == 0.0:
        return None
    valid = rng.random(num_rows) >= null_density
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def _is_variable_width(arrow_type: pa.DataType) -> bool:
    return arrow_type in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def _indices(shape: str, num_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Which distinct value each row holds, int64[num_rows]."""
    if shape == "constant":
        return np.zeros(num_rows, dtype=np.int64)
    if shape == "few":
        return rng.integers(0, 5, num_rows)
    if shape == "runs":
        starts = rng.random(num_rows) < 0.02
        return np.cumsum(starts)
    return np.arange(num_rows)


def _fixed_width(shape: str, arrow_type: pa.DataType, num_rows: int, rng: np.random.Generator) -> pa.Buffer:
    """Values of a fixed-width type, of the shape, valid for the type."""
    indices = _indices(shape, num_rows, rng)
    num_distinct = int(indices.max(initial=0)) + 1
    if pa.types.is_boolean(arrow_type):
        bits = np.packbits(rng.integers(0, 2, num_distinct, dtype=np.uint8)[indices], bitorder="little")
        return pa.py_buffer(bits)
    distinct = _distinct_values(shape, arrow_type, num_distinct, rng)
    return pa.py_buffer(np.ascontiguousarray(distinct[indices]))


def _distinct_values(
    shape: str, arrow_type: pa.DataType, num_values: int, rng: np.random.Generator
) -> np.ndarray:
    """Return uint8[num_values, width of the type]."""
    if pa.types.is_fixed_size_binary(arrow_type):
        top = 4 if shape == "small" else 256
        return rng.integers(0, top, (num_values, arrow_type.byte_width), dtype=np.uint8)
    if pa.types.is_floating(arrow_type):
        return _floats(shape, arrow_type, num_values, rng)
    low, high = _limits(arrow_type)
    step = _DAY["ms"] if arrow_type == pa.date64() else 1
    pick: dict[str, Callable[[], Sequence[int]]] = {
        "sequence": lambda: [index % (high + 1) for index in range(num_values)],
        "small": lambda: rng.integers(max(low, -3), min(high, 100), num_values, endpoint=True).tolist(),
        "extremes": lambda: [(low, high, 0, 1)[choice] for choice in rng.integers(0, 4, num_values)],
    }
    values = pick.get(shape, partial(_anywhere, low, high, num_values, rng))()
    width = arrow_type.bit_width // 8
    data = b"".join((value * step).to_bytes(width, "little", signed=low < 0) for value in values)
    return np.frombuffer(data, dtype=np.uint8).reshape(num_values, width)


def _anywhere(low: int, high: int, num_values: int, rng: np.random.Generator) -> list[int]:
    """Draw integers of any size between two limits of any size."""
    words = rng.integers(0, 1 << 63, (num_values, 5), dtype=np.uint64)
    span = high - low + 1
    return [low + int.from_bytes(row.tobytes(), "little") % span for row in words]


def _limits(arrow_type: pa.DataType) -> tuple[int, int]:
    """Smallest and largest integer that a type stores and Arrow calls valid; for date64 in days."""
    if pa.types.is_decimal(arrow_type):
        largest: int = 10**arrow_type.precision - 1
        return -largest, largest
    if pa.types.is_time(arrow_type):
        return 0, _DAY[arrow_type.unit] - 1
    if arrow_type == pa.date64():
        return -(2**63) // _DAY["ms"] + 1, 2**63 // _DAY["ms"] - 1
    bits = arrow_type.bit_width
    if pa.types.is_unsigned_integer(arrow_type):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _floats(shape: str, arrow_type: pa.DataType, num_values: int, rng: np.random.Generator) -> np.ndarray:
    dtype: Any = arrow_type.to_pandas_dtype()
    width = arrow_type.bit_width // 8
    if shape in ("sequence", "small"):
        values = np.arange(num_values) % 1000 / (1 if shape == "sequence" else 8)
    elif shape == "extremes":
        special = [
            0.0,
            -0.0,
            np.nan,
            np.inf,
            -np.inf,
            np.finfo(dtype).max,
            np.finfo(dtype).smallest_subnormal,
        ]
        values = np.array(special, dtype=dtype)[rng.integers(0, len(special), num_values)]
    else:
        return rng.integers(0, 256, (num_values, width), dtype=np.uint8)
    return np.ascontiguousarray(values.astype(dtype)).view(np.uint8).reshape(num_values, width)


def _variable_width(
    shape: str, arrow_type: pa.DataType, num_rows: int, valid: pa.Buffer | None, rng: np.random.Generator
) -> pa.Array:
    """Strings or bytes; null rows keep noise below them."""
    indices = _indices(shape, num_rows, rng)
    distinct = _distinct_bytes(shape, int(indices.max(initial=0)) + 1, rng)
    if arrow_type in (pa.binary(), pa.large_binary()):
        distinct = [value + b"\xff\x80" if value else value for value in distinct]
    plain = pa.array([distinct[index] for index in indices], pa.binary()).cast(
        pa.large_binary() if arrow_type in (pa.large_string(), pa.large_binary()) else pa.binary()
    )
    return pa.Array.from_buffers(arrow_type, num_rows, [valid, *plain.buffers()[1:]])


def _distinct_bytes(shape: str, num_values: int, rng: np.random.Generator) -> list[bytes]:
    """Return UTF-8 texts: short ones, numbered ones, long ones, ones with a common start."""
    if shape in ("sequence", "runs"):
        return [f"{_TEXTS[-1]}{index}".encode() for index in range(num_values)]
    if shape == "small":
        return [str(number).encode() for number in rng.integers(0, 100, num_values)]
    repeats = rng.integers(0, 20, num_values) if shape == "extremes" else np.ones(num_values, dtype=np.int64)
    texts = rng.integers(0, len(_TEXTS), num_values)
    numbers = rng.integers(0, 1 << 30, num_values) if shape == "random" else np.arange(num_values) % 3
    return [
        (_TEXTS[text] * repeat + (str(number) if number else "")).encode()
        for text, repeat, number in zip(texts, repeats, numbers, strict=True)
    ]
