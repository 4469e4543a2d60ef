"""Whatever is wished: a column is refused with the reason, or survives, and pylance reads it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from lancelet import ColumnOptions, FileReader, FileWriter, OptionError
from lancelet.testing import as_read_back, assert_tables_equal, strategies
from oracle import oracle
from tiers import FULL, sample_or_full

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = ("2.1", "2.2")
PROFILES = ("balanced", "small", "fast", "reference")
WISHES: dict[str, st.SearchStrategy[Any]] = {
    "structural_encoding": st.sampled_from(["miniblock", "fullzip"]),
    "compression": st.sampled_from(["lz4", "zstd", "none", "fsst"]),
    "compression_level": st.sampled_from([-3, 1, 6, 12]),
    "rle_threshold": st.sampled_from([0, 0.1, 0.5, 0.9, 2.0]),
    "bss": st.sampled_from(["off", "on", "auto"]),
    "minichunk_size": st.sampled_from([1, 64, 1000, 8192, 32767, 32768, 1 << 20]),
    "dict_divisor": st.sampled_from([1, 2, 50]),
    "dict_size_ratio": st.sampled_from([0.01, 0.5, 1.0]),
    "dict_max_bytes": st.sampled_from([0, 100, 1 << 20]),
    "dict_values_compression": st.sampled_from(["lz4", "zstd", "none"]),
    "dict_values_compression_level": st.sampled_from([-1, 3]),
}


PLANS = strategies.row_counts().flatmap(strategies.array_plans)


def column_options() -> st.SearchStrategy[ColumnOptions]:
    """Draw up to three wishes: with more, few columns could fulfil all."""
    names = st.lists(st.sampled_from(sorted(WISHES)), max_size=3, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: WISHES[name] for name in chosen})).map(
        lambda wishes: ColumnOptions(**wishes)
    )


def examples(few: int, many: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=sample_or_full(few, many),
        derandomize=not FULL,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def as_lists(column: pa.Array, rng: np.random.Generator) -> pa.Array:
    """Cut a column into lists, some of them empty and some null."""
    cuts = np.sort(rng.integers(0, len(column) + 1, len(column) // 3 + 1))
    offsets = pa.array(
        np.concatenate(([0], cuts)), pa.int32(), mask=np.r_[rng.random(len(cuts)) < 0.1, False]
    )
    return pa.ListArray.from_arrays(offsets, column)


def write(path: Path, table: pa.Table, **arguments: Any) -> str | None:
    """Write a table; returns why it was refused, if it was."""
    try:
        with FileWriter(path, **arguments) as writer:
            writer.write_table(table)
    except OptionError as error:
        return str(error)
    return None


def survives(table: pa.Table, options: dict[str, ColumnOptions], version: str, profile: str) -> bool:
    """Write a table and compare what both readers give; tells whether it was written."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.lance"
        refusal = write(path, table, version=version, profile=profile, columns=options)
        if refusal is not None:
            # of the type; or of a row that the layout of the wish has no place for
            assert "cannot be fulfilled" in refusal or "cannot hold a row" in refusal
            assert list(Path(directory).iterdir()) == []
            return False
        expected = as_read_back(table)
        with FileReader(path) as reader:
            assert_tables_equal(reader.read_all().to_table(), expected)
            if table.num_rows:
                rows = sorted({0, table.num_rows // 2, table.num_rows - 1})
                assert_tables_equal(reader.take_rows(rows).to_table(), expected.take(rows))
        assert_tables_equal(oracle("14.0.2").read(path)[0], expected)
        return True


@given(
    plan=PLANS,
    options=column_options(),
    version=st.sampled_from(VERSIONS),
    profile=st.sampled_from(PROFILES),
)
@examples(250, 5000)
def test_flat_columns(plan: strategies.ArrayPlan, options: ColumnOptions, version: str, profile: str) -> None:
    table = pa.table({"column": strategies.build_array(plan)})
    event("written" if survives(table, {"column": options}, version, profile) else "refused")


@given(
    plan=PLANS,
    options=column_options(),
    by_path=st.booleans(),
    version=st.sampled_from(VERSIONS),
    profile=st.sampled_from(PROFILES),
)
@examples(120, 3000)
def test_list_columns(
    plan: strategies.ArrayPlan, options: ColumnOptions, by_path: bool, version: str, profile: str
) -> None:
    items = as_read_back(pa.table({"items": strategies.build_array(plan)}))["items"].combine_chunks()
    table = pa.table({"l": as_lists(items, np.random.default_rng(plan.seed))})
    survives(table, {"l.item" if by_path else "l": options}, version, profile)


def test_every_wish_is_fulfilled_by_some_type() -> None:
    """The drawn options are not refused throughout."""
    wishes = {
        "structural_encoding": "fullzip",
        "compression": "lz4",
        "compression_level": 6,
        "rle_threshold": 0.5,
        "bss": "off",
        "minichunk_size": 1 << 20,
        "dict_divisor": 2,
        "dict_size_ratio": 0.5,
        "dict_max_bytes": 100,
        "dict_values_compression": "zstd",
        "dict_values_compression_level": 3,
    }
    assert set(wishes) == set(WISHES)
    needed = {"compression_level": "compression", "dict_values_compression_level": "dict_values_compression"}
    for name, value in wishes.items():
        options = {needed[name]: "zstd"} if name in needed else {}
        table = pa.table({"x": ["a", "b"]})
        assert survives(table, {"x": ColumnOptions(**options, **{name: value})}, "2.2", "balanced")
