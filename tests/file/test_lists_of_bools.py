"""Fixed-size lists of bools: rows of any number of bits, which are no whole bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.testing import assert_tables_equal
from oracle import oracle

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("2.1", "2.2")


def lists_of_bools(num_rows: int, dimension: int, *, nulls: bool) -> pa.Table:
    rng = np.random.default_rng(dimension)
    shape = num_rows * dimension
    items = pa.array(rng.random(shape) < 0.5, mask=rng.random(shape) < 0.2 if nulls else None)
    return pa.table({"bits": pa.FixedSizeListArray.from_arrays(items, dimension)})


@pytest.mark.parametrize("nulls", [False, True], ids=["valid", "nulls"])
@pytest.mark.parametrize("dimension", [255, 256, 257, 2047, 2048, 2049])
@pytest.mark.parametrize("version", VERSIONS)
def test_rows_of_any_length(tmp_path: Path, version: str, dimension: int, nulls: bool) -> None:
    path, table = tmp_path / "bits.lance", lists_of_bools(9, dimension, nulls=nulls)
    with lancelet.FileWriter(path, version=version) as writer:
        writer.write_table(table)
    reader = lancelet.FileReader(path)
    assert_tables_equal(reader.read_all().to_table(), table)
    assert_tables_equal(reader.take_rows([1, 8]).to_table(), table.take([1, 8]))
    (judged,) = oracle("14.0.2").read(path)
    assert_tables_equal(judged, table)


@pytest.mark.parametrize("version", VERSIONS)
def test_chunks_larger_than_the_limit_become_pages(tmp_path: Path, version: str) -> None:
    path, table = tmp_path / "bits.lance", lists_of_bools(20, 100_001, nulls=True)
    with lancelet.FileWriter(path, version=version) as writer:
        writer.write_table(table)
    assert_tables_equal(lancelet.FileReader(path).read_all().to_table(), table)


@pytest.mark.parametrize("version", VERSIONS)
def test_full_zip_pages_are_for_bools_without_nulls(tmp_path: Path, version: str) -> None:
    wish = {"bits": lancelet.ColumnOptions(structural_encoding="fullzip")}
    path, table = tmp_path / "bits.lance", lists_of_bools(50, 16, nulls=False)
    with lancelet.FileWriter(path, version=version, columns=wish) as writer:
        writer.write_table(table)
    for release in ("4.0.1", "14.0.2"):
        assert_tables_equal(oracle(release).read(path, [("all", 7)])[0], table)
    with (
        pytest.raises(lancelet.OptionError, match="lists of bools with null items"),
        lancelet.FileWriter(path, version=version, columns=wish) as writer,
    ):
        writer.write_table(lists_of_bools(50, 16, nulls=True))
