"""Files keep to the bytes that they may have, whatever becomes of their rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from compact_jobs import data_files, kept, made, task_of
from lancelet.compact.commit import commit_compaction
from lancelet.compact.task import execute_task
from lancelet.errors import OptionError

if TYPE_CHECKING:
    from lancelet.compact.task import RewriteResult
    from lancelet.datasets.dataset import Dataset


def few_values(path: Path) -> Dataset:
    """Fragments of one value each, which take next to nothing alone and more together."""
    for k in range(8):
        table = pa.table({"b": pa.array([k * 1_000_003] * 50_000), "c": pa.array([k * 1.1] * 50_000)})
        lancelet.write_dataset(table, path, mode="append" if k else "create", data_storage_version="2.2")
    return lancelet.dataset(path)


def fits(ds: Dataset, result: RewriteResult, max_bytes: int) -> None:
    """Check that files keep to the limit, that no others were left, and that all rows were told once."""
    new = result.new_fragments
    assert sum(fragment.physical_rows or 0 for fragment in new) == ds.num_rows
    for fragment in new:
        size = Path(ds.uri, "data", fragment.files[0].path).stat().st_size
        assert size <= max_bytes or fragment.physical_rows == 1
    written = set(result.files)
    assert {f"data/{fragment.files[0].path}" for fragment in new} == written
    assert data_files(ds) == written | {
        f"data/{file.path}" for fragment in ds.manifest.fragments for file in fragment.files
    }


@pytest.mark.parametrize(("mode", "max_bytes"), [("hybrid", 1071), ("hybrid", 4000), ("reencode", 4000)])
def test_values_that_take_less_alone(mode: str, max_bytes: int, tmp_path: Path) -> None:
    ds = few_values(tmp_path / "dataset")
    told: list[int] = []
    task = task_of(ds, mode, max_bytes_per_file=max_bytes, target_rows_per_fragment=1 << 30)
    result = execute_task(task, progress=told.append)
    fits(ds, result, max_bytes)
    assert sum(told) == ds.num_rows
    assert min(told) > 0


@pytest.mark.parametrize("mode", ["hybrid", "reencode"])
@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_many_kinds_of_columns(version: str, mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [500, 700, 200, 900], version)
    before = kept(ds)
    commit_compaction(ds.store, [execute_task(task_of(ds, mode, max_bytes_per_file=40_000))])
    ds.checkout_latest()
    assert kept(ds) == before
    for fragment in ds.manifest.fragments:
        assert Path(ds.uri, "data", fragment.files[0].path).stat().st_size <= 40_000


def test_a_row_that_is_larger_has_a_file_of_its_own(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for k in range(3):
        rows = [random.bytes(30_000) for _ in range(2)]
        lancelet.write_dataset({"b": rows}, tmp_path / "dataset", mode="append" if k else "create")
    ds = lancelet.dataset(tmp_path / "dataset")
    result = execute_task(task_of(ds, "reencode", max_bytes_per_file=10_000))
    fits(ds, result, 10_000)
    assert [fragment.physical_rows for fragment in result.new_fragments] == [1] * 6


@pytest.mark.parametrize("mode", ["hybrid", "reencode"])
def test_less_than_describes_a_file_is_an_error(mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [30] * 2)
    files = data_files(ds)
    with pytest.raises(OptionError, match="max_bytes_per_file"):
        execute_task(task_of(ds, mode, max_bytes_per_file=1000))
    assert data_files(ds) == files


def test_damage_while_files_are_looked_at_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = few_values(tmp_path / "dataset")
    files = data_files(ds)

    def fails(*_: Any) -> None:
        raise RuntimeError("as if it were damaged")

    monkeypatch.setattr("lancelet.compact.task.fitting_rows", fails)
    with pytest.raises(RuntimeError, match="damaged"):
        execute_task(task_of(ds, "reencode", max_bytes_per_file=4000))
    assert data_files(ds) == files
