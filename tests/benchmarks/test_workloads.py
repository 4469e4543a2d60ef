"""The tables of the benchmark: the same on every machine, and of the sizes that are claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from benchmarks.workloads import WORKLOADS, Workload, read_source

if TYPE_CHECKING:
    from pathlib import Path

# Arrow bytes of a row, or of a column of 1,000 rows; the table of docs/performance.md divided by the rows.
BYTES = {"taxi": 104, "text": 862, "emb": 3080, "nested": 71, "images": 110_000, "wide": 5600}

workloads = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=list(WORKLOADS))


def few_batches(workload: Workload, rows: int) -> list[pa.RecordBatch]:
    return list(workload.batches(rows / workload.size))


@workloads
def test_generators_are_deterministic(workload: Workload) -> None:
    assert few_batches(workload, 50) == few_batches(workload, 50)


@workloads
def test_a_smaller_scale_is_a_prefix(workload: Workload) -> None:
    small, large = (pa.Table.from_batches(few_batches(workload, rows)) for rows in (50, 150))
    small.validate(full=True)
    if workload.scales_columns:
        assert large.select(small.column_names) == small
        assert (small.num_columns, small.num_rows) == (50, workload.write_rows)
    else:
        assert large.slice(0, 50) == small
        assert small.num_rows == 50


@workloads
def test_sizes_are_those_of_the_documentation(workload: Workload) -> None:
    rows = 100 if workload.scales_columns else min(workload.write_rows, 2000)
    (batch,) = few_batches(workload, rows)
    assert batch.nbytes / rows == pytest.approx(BYTES[workload.name], rel=0.15)
    assert set(workload.projection) <= set(batch.schema.names)


def test_a_table_has_several_batches() -> None:
    images = WORKLOADS["images"]
    assert [batch.num_rows for batch in few_batches(images, 300)] == [128, 128, 44]


def test_batches_differ() -> None:
    first, second = few_batches(WORKLOADS["emb"], 4096 + 8)
    assert first.column("vector")[:8] != second.column("vector")


def test_sources_are_made_once_and_mapped(tmp_path: Path) -> None:
    nested = WORKLOADS["nested"]
    path = nested.source(tmp_path, 0.0001)
    before = path.stat().st_mtime_ns
    allocated = pa.total_allocated_bytes()
    batches = read_source(nested.source(tmp_path, 0.0001))
    assert pa.total_allocated_bytes() == allocated
    assert path.stat().st_mtime_ns == before
    assert batches == list(nested.batches(0.0001))
