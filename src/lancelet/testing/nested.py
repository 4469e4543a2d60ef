"""Hypothesis strategies for nested Arrow fields and tables that a Lance file can hold.

As in :mod:`lancelet.testing.strategies` a strategy draws a small description and NumPy fills the arrays. Here the description
is a :class:`NestedPlan`: null densities and slices for each depth, a form for the lengths of lists. What nobody may see is
noise: items of null lists, children of null structs, values before and behind the part of an array that a slice shows, items
before the first and behind the last offset of a list.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from lancelet.testing.strategies import FLAT_TYPES, SHAPES, ArrayPlan, build_array, row_counts

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "LENGTHS",
    "NestedPlan",
    "build_nested",
    "nested_fields",
    "nested_tables",
]

LENGTHS = ("few", "one", "none", "rare", "long")
"""How long lists are: 0 to 3 items; 1; 0; mostly 0; one of a thousand items and the others short."""

_MOST_ITEMS = 20_000
"""Lists that would begin behind so many items of their level are empty."""

_LONG = 1500

_ITEMS = (pa.int32(), pa.float32(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float64())
"""Items of fixed-size lists, simplest first."""

_LEAVES = tuple(type_ for type_ in FLAT_TYPES if type_ not in (pa.string_view(), pa.binary_view()))

_KEYS = (pa.string(), pa.int32(), pa.int64(), pa.uint8(), pa.binary())

_PACKED = (pa.int32(), pa.float64(), pa.uint8(), pa.int16(), pa.timestamp("us", "UTC"), pa.decimal128(20, 2))

_DENSITIES = (0.0, 0.1, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class NestedPlan:
    """What :func:`build_nested` needs to make one array.

    Attributes
    ----------
    field
        Its type, and at each depth whether there may be nulls.
    num_rows
        Length of the array.
    shape
        How the values of leaves are distributed, one of :data:`~lancelet.testing.strategies.SHAPES`.
    lengths
        How long lists are, one of :data:`LENGTHS`.
    null_densities
        For each depth the share of nulls, 0 to 1, outer-most first; deeper levels begin again with the first.
    slice_starts
        For each depth in the same way, at which row of a larger array the slice starts that the array is.
    seed
        Of the random generator.
    """

    field: pa.Field
    num_rows: int
    shape: str = "random"
    lengths: str = "few"
    null_densities: tuple[float, ...] = (0.0,)
    slice_starts: tuple[int, ...] = (0,)
    seed: int = 0


def build_nested(plan: NestedPlan) -> pa.Array:
    """Make the array that a plan describes; the same plan gives the same array."""
    return _Builder(plan).build(plan.field, plan.num_rows, 0)


class _Builder:
    """Builds arrays depth first from one random generator."""

    def __init__(self, plan: NestedPlan) -> None:
        self._plan = plan
        self._rng = np.random.default_rng(plan.seed)

    def build(self, field: pa.Field, num_values: int, depth: int) -> pa.Array:
        """Make `num_values` values of a field, as a slice of more."""
        plan, type_ = self._plan, field.type
        start = plan.slice_starts[depth % len(plan.slice_starts)]
        density = plan.null_densities[depth % len(plan.null_densities)] if field.nullable else 0.0
        if not pa.types.is_nested(type_) and not pa.types.is_dictionary(type_):
            seed = int(self._rng.integers(1 << 32))
            return build_array(ArrayPlan(type_, num_values, plan.shape, density, seed, start))
        more = num_values + start + (3 if start else 0)
        return self._container(type_, more, density, depth).slice(start, num_values)

    def _container(self, type_: pa.DataType, num_values: int, density: float, depth: int) -> pa.Array:
        if pa.types.is_dictionary(type_):
            return self._dictionary(type_, num_values, density)
        valid = self._validity(num_values, density)
        buffers, below = [valid], depth + 1
        if pa.types.is_struct(type_):
            children = [self.build(child, num_values, below) for child in type_]
        elif pa.types.is_fixed_size_list(type_):
            children = [self.build(type_.value_field, num_values * type_.list_size, below)]
        else:
            offsets = self._offsets(num_values, depth)
            dtype = np.int64 if pa.types.is_large_list(type_) else np.int32
            buffers.append(pa.py_buffer(offsets.astype(dtype)))
            entries = pa.struct([type_.key_field, type_.item_field]) if pa.types.is_map(type_) else None
            item = pa.field("entries", entries, nullable=False) if entries else type_.value_field
            children = [self.build(item, int(offsets[-1]) + 2, below)]
        return pa.Array.from_buffers(type_, num_values, buffers, children=children)

    def _validity(self, num_values: int, density: float) -> pa.Buffer | None:
        if density == 0.0:
            return None
        return pa.py_buffer(np.packbits(self._rng.random(num_values) >= density, bitorder="little"))

    def _offsets(self, num_values: int, depth: int) -> npt.NDArray[np.int64]:
        """Offsets of lists; the first is not 0."""
        rng = self._rng
        form = self._plan.lengths
        if form == "rare":
            lengths = rng.integers(0, 40, num_values) * (rng.random(num_values) < 0.03)
        else:
            low, stop = {"few": (0, 4), "one": (1, 2), "none": (0, 1), "long": (0, 2)}[form]
            lengths = rng.integers(low, stop, num_values)
        if form == "long" and depth == 0 and num_values:
            lengths[rng.integers(num_values)] = _LONG
        lengths[np.cumsum(lengths) > _MOST_ITEMS] = 0
        return np.concatenate(([0], np.cumsum(lengths))) + 2

    def _dictionary(self, type_: pa.DictionaryType, num_values: int, density: float) -> pa.Array:
        rng = self._rng
        indices = rng.integers(0, 7, num_values).astype(type_.index_type.to_pandas_dtype())
        valid = self._validity(num_values, density)
        data = pa.Array.from_buffers(type_.index_type, num_values, [valid, pa.py_buffer(indices)])
        items = build_array(
            ArrayPlan(type_.value_type, 7, "sequence", density / 3, int(rng.integers(1 << 32)))
        )
        return pa.DictionaryArray.from_arrays(data, items)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a field may be depends on where it stands.

    Attributes
    ----------
    maps
        The file's version is 2.2: maps, fixed-size lists of structs, any child of packed structs.
    depth
        Levels that may still follow.
    in_list
        A list or map stands around it.
    in_fixed
        A fixed-size list stands around it.
    never_null
        Nothing around it is ever null.
    """

    maps: bool
    depth: int
    in_list: bool = False
    in_fixed: bool = False
    never_null: bool = True


def nested_fields(name: str, version: str, depth: int = 4) -> st.SearchStrategy[pa.Field]:
    """Fields with up to `depth` levels of structs and lists that a file of a version can hold.

    Parameters
    ----------
    name
        Name of the field.
    version
        ``"2.1"`` or ``"2.2"``.
    depth
        Most levels around a leaf.
    """
    return _fields(name, _Place(maps=version >= "2.2", depth=depth))


@st.composite
def _fields(draw: st.DrawFn, name: str, place: _Place) -> pa.Field:
    kinds = ["leaf", "dictionary", "fixed_list", "packed"]
    if not place.in_list and not place.in_fixed and place.never_null:
        kinds.append("empty_struct")
    if place.depth:
        kinds = ["list", "struct", *kinds, "large_list"]
        if place.maps:
            kinds += ["map"] if place.in_list else ["map", "fixed_list_of_structs"]
    kind = draw(st.sampled_from(kinds))
    nullable = kind != "empty_struct" and draw(st.booleans())
    below = replace(place, depth=place.depth - 1, never_null=place.never_null and not nullable)
    metadata = {"lance-encoding:packed": "true"} if kind == "packed" else None
    type_ = draw(_TYPES[kind](below))
    return pa.field(name, type_, nullable or pa.types.is_null(type_), metadata)


def _structs(place: _Place) -> st.SearchStrategy[pa.DataType]:
    return st.integers(1, 3).flatmap(
        lambda num_children: st.tuples(*(_fields(f"f{index}", place) for index in range(num_children))).map(
            pa.struct
        )
    )


def _lists(place: _Place) -> st.SearchStrategy[pa.DataType]:
    return _fields("item", replace(place, in_list=True)).map(pa.list_)


def _large_lists(place: _Place) -> st.SearchStrategy[pa.DataType]:
    return _fields("item", replace(place, in_list=True)).map(pa.large_list)


@st.composite
def _maps(draw: st.DrawFn, place: _Place) -> pa.DataType:
    key = pa.field("key", draw(st.sampled_from(_KEYS)), nullable=False)
    return pa.map_(key, draw(_fields("value", replace(place, in_list=True))))


@st.composite
def _fixed_lists(draw: st.DrawFn, place: _Place) -> pa.DataType:
    type_ = draw(st.sampled_from(_ITEMS))
    for size in draw(st.lists(st.integers(1, 5), min_size=1, max_size=2)):
        type_ = pa.list_(type_, size)
    return type_


@st.composite
def _fixed_lists_of_structs(draw: st.DrawFn, place: _Place) -> pa.DataType:
    items = draw(_structs(replace(place, in_fixed=True)))
    return pa.list_(pa.field("item", items, draw(st.booleans())), draw(st.integers(1, 4)))


@st.composite
def _packed(draw: st.DrawFn, place: _Place) -> pa.DataType:
    types: tuple[pa.DataType, ...] = _PACKED
    if place.maps:
        types += (pa.string(), pa.large_binary(), pa.list_(pa.float32(), 4))
    children = draw(st.lists(st.sampled_from(types), min_size=1, max_size=3))
    return pa.struct([pa.field(f"p{index}", type_, nullable=False) for index, type_ in enumerate(children)])


@st.composite
def _dictionaries(draw: st.DrawFn, place: _Place) -> pa.DataType:
    index = draw(st.sampled_from([pa.int32(), pa.int8(), pa.uint16(), pa.int64()]))
    return pa.dictionary(
        index, draw(st.sampled_from([pa.string(), pa.int64(), pa.large_binary(), pa.float32()]))
    )


_TYPES: dict[str, Any] = {
    "leaf": lambda place: st.sampled_from(_LEAVES),
    "dictionary": _dictionaries,
    "fixed_list": _fixed_lists,
    "packed": _packed,
    "empty_struct": lambda place: st.just(pa.struct([])),
    "list": _lists,
    "struct": _structs,
    "large_list": _large_lists,
    "map": _maps,
    "fixed_list_of_structs": _fixed_lists_of_structs,
}


@st.composite
def nested_tables(
    draw: st.DrawFn, version: str, max_columns: int = 2, max_rows: int = 1100, depth: int = 4
) -> pa.Table:
    """Tables of nested columns in one to three chunks; each chunk has null densities and list lengths of its own.

    Parameters
    ----------
    draw
        Supplied by hypothesis.
    version
        File version that can hold them, ``"2.1"`` or ``"2.2"``.
    max_columns, max_rows
        Upper limits, of rows in each chunk; there is at least one column.
    depth
        Most levels around a leaf.
    """
    num_columns = draw(st.integers(1, max_columns))
    schema = pa.schema(
        [draw(nested_fields(f"column {index}", version, depth)) for index in range(num_columns)]
    )
    batches = []
    for _ in range(draw(st.integers(1, 3))):
        num_rows = draw(row_counts(max_rows))
        arrays = [build_nested(draw(_plans(field, num_rows))) for field in schema]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches)


def _plans(field: pa.Field, num_rows: int) -> st.SearchStrategy[NestedPlan]:
    return st.builds(
        NestedPlan,
        field=st.just(field),
        num_rows=st.just(num_rows),
        shape=st.sampled_from(SHAPES),
        lengths=st.sampled_from(LENGTHS),
        null_densities=st.lists(st.sampled_from(_DENSITIES), min_size=1, max_size=3).map(tuple),
        slice_starts=st.lists(st.sampled_from([0, 1, 7, 8, 13]), min_size=1, max_size=3).map(tuple),
        seed=st.integers(0, 2**32 - 1),
    )
