"""Properties of files: any flat table survives, in any version, cut in any way; pages obey their limit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import lancelet
from lancelet.errors import LanceletError
from lancelet.testing import as_read_back, assert_tables_equal, strategies
from oracle import RELEASES, oracle
from tiers import FULL, sample_or_full

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = ("2.1", "2.2")
MEBIBYTE = 1 << 20


def examples(few: int, many: int) -> Callable[[Any], Any]:
    """Run the same few examples in every run, or many new ones in full."""
    return settings(
        max_examples=sample_or_full(few, many),
        derandomize=not FULL,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def write_options() -> st.SearchStrategy[dict[str, Any]]:
    """Draw a version and sizes that cut pages everywhere or nowhere."""
    sizes = st.sampled_from([None, 1, 64, 512, 5000, 1 << 16])
    return st.fixed_dictionaries(
        {"version": st.sampled_from(VERSIONS), "data_cache_bytes": sizes, "max_page_bytes": sizes}
    )


def write(path: Path, table: pa.Table, options: dict[str, Any]) -> None:
    with lancelet.FileWriter(str(path), table.schema, **options) as writer:
        writer.write_batches(table.to_batches())


@given(table=strategies.flat_tables(), options=write_options(), data=st.data())
@examples(120, 1500)
def test_flat_tables_survive(table: pa.Table, options: dict[str, Any], data: st.DataObject) -> None:
    expected = as_read_back(table)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.lance"
        write(path, table, options)
        reader = lancelet.FileReader(str(path))
        assert reader.num_rows == table.num_rows
        assert reader.version.text == options["version"]
        assert_tables_equal(reader.read_all().to_table(), expected, metadata=True)
        check_parts(reader, expected, data)
        assert_tables_equal(oracle("14.0.2").read(path)[0], expected)


def check_parts(
    reader: lancelet.FileReader,
    expected: pa.Table,
    data: st.DataObject,
    rows_of: Callable[[pa.Table, list[int]], pa.Table] = pa.Table.take,
) -> None:
    """Compare drawn ranges, rows and batches with slices of the expected table."""
    if expected.num_rows == 0:
        return
    row_numbers = st.integers(0, expected.num_rows - 1)
    start = data.draw(row_numbers, "start")
    num_rows = data.draw(st.integers(1, expected.num_rows - start), "num_rows")
    assert_tables_equal(reader.read_range(start, num_rows).to_table(), expected.slice(start, num_rows))
    rows = data.draw(st.lists(row_numbers, min_size=1, max_size=30), "rows")
    assert_tables_equal(reader.take_rows(rows).to_table(), rows_of(expected, rows))
    batch_size = data.draw(st.integers(max(1, expected.num_rows // 50), expected.num_rows + 1), "batch_size")
    batches = reader.read_all(batch_size=batch_size).to_batches()
    assert_tables_equal(pa.Table.from_batches(batches, expected.schema), expected)


@given(table=strategies.flat_tables(), version=st.sampled_from(VERSIONS), release=st.sampled_from(RELEASES))
@examples(60, 1000)
def test_tables_of_pylance_are_read(table: pa.Table, version: str, release: str) -> None:
    expected = as_read_back(table)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.lance"
        oracle(release).write(path, expected, version)
        assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), expected)


@pytest.mark.parametrize("arrow_type", strategies.FLAT_TYPES, ids=str)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_type_in_every_shape(arrow_type: pa.DataType, version: str, tmp_path: Path) -> None:
    plans = [
        strategies.ArrayPlan(arrow_type, 4097, shape, null_density, seed, slice_start=7)
        for seed, shape in enumerate(strategies.SHAPES)
        for null_density in (0.0, 0.2)
    ]
    table = pa.table(
        {f"{plan.shape} {plan.null_density:.0%}": strategies.build_array(plan) for plan in plans}
    )
    path = tmp_path / "table.lance"
    write(path, table, {"version": version})
    expected = as_read_back(table)
    assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), expected)
    rows = [0, 1, 1023, 1024, 2048, 4095, 4096]
    judged = oracle("14.0.2").read(path, [("all", 1024), ("take", rows)])
    assert_tables_equal(judged[0], expected)
    assert_tables_equal(judged[1], expected.take(rows))


def page_bytes(path: Path) -> list[int]:
    """Return the size of each page of the first column: the sum of its buffers."""
    column = lancelet.FileReader(str(path)).metadata()[0]
    return [sum(buffer.size for buffer in page.buffers) for page in column.pages]


def million_numbers() -> pa.Table:
    numbers = np.random.default_rng(5).integers(0, 1 << 64, 1_000_000, dtype=np.uint64)
    return pa.table({"number": numbers})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_max_page_bytes(version: str, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"version": version}
    if by == "option":
        options["max_page_bytes"] = MEBIBYTE
    else:
        monkeypatch.setenv("LANCE_FILE_WRITER_MAX_PAGE_BYTES", str(MEBIBYTE))
    table = million_numbers()
    path = tmp_path / "numbers.lance"
    write(path, table, options)
    sizes = page_bytes(path)
    assert max(sizes) <= MEBIBYTE
    assert len(sizes) <= 16
    assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), table)
    assert_tables_equal(oracle("14.0.2").read(path, [("all", 100_000)])[0], table)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("value", ["many", "", "1.5", "-3"])
def test_bad_page_limit_warns(
    version: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = million_numbers()
    path = tmp_path / "numbers.lance"
    monkeypatch.setenv("LANCE_FILE_WRITER_MAX_PAGE_BYTES", value)
    with pytest.warns(RuntimeWarning, match="LANCE_FILE_WRITER_MAX_PAGE_BYTES"):
        write(path, table, {"version": version})
    assert len(page_bytes(path)) == 1
    assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), table)


def test_option_wins_over_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANCE_FILE_WRITER_MAX_PAGE_BYTES", str(64 * MEBIBYTE))
    path = tmp_path / "numbers.lance"
    write(path, million_numbers(), {"max_page_bytes": MEBIBYTE})
    assert max(page_bytes(path)) <= MEBIBYTE


@pytest.mark.parametrize("version", VERSIONS)
def test_too_many_rows_in_a_batch(version: str, tmp_path: Path) -> None:
    batch = pa.record_batch([pa.nulls(2**32)], names=["nothing"])
    path = tmp_path / "rows.lance"
    with (
        pytest.raises(LanceletError, match=r"4,?294,?967,?295|2\s?(\^|\*\*)\s?32"),
        lancelet.FileWriter(str(path), batch.schema, version=version) as writer,
    ):
        writer.write_batch(batch)
    assert not list(tmp_path.iterdir())
