"""Datasets that pylance wrote, compacted: rows, row ids and time travel stay, for us and for pylance."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import golden_index
import lancelet
from compact_jobs import LINEAGE, MODES
from golden_index import read_index
from lancelet.compact.run import compact_files
from oracle.client import oracle
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from lancelet.table.dataset import Dataset

ROOT = golden_index.golden_root()
READ = "result = lance.dataset(root).to_table(columns, with_row_id=with_row_id)"


def lines() -> list[dict[str, Any]]:
    found = [
        line
        for index in sorted((ROOT / "datasets").glob("index.*.jsonl"))
        for line in read_index(index)
        if line["status"] == "ok"
    ]
    return found[:: sample_or_full(3, 1)]


def rows(table: pa.Table) -> list[str]:
    """Rows as text, in an order that does not depend on fragments."""
    return sorted(map(repr, table.to_pylist()))


def facts(ds: Dataset) -> list[str]:
    columns = [*ds.schema.names, *(LINEAGE if ds.has_stable_row_ids else ())]
    return rows(ds.to_table(columns, with_row_id=ds.has_stable_row_ids, blob_handling="all_binary"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("line", lines(), ids=lambda line: f"{line['name']}-p{line['writer']}")
def test_a_golden_dataset(line: dict[str, Any], mode: str, tmp_path: Path) -> None:
    path = tmp_path / "dataset"
    shutil.copytree(ROOT / line["uri"], path)
    ds = lancelet.dataset(path)
    before, version = facts(ds), ds.version
    metrics = compact_files(
        ds,
        compaction_mode=mode,
        materialize_deletions_threshold=0.0,
        drop_indices=bool(ds.list_indices()),
    )
    assert facts(ds) == before
    ds.validate(read_data=True)
    if not metrics.fragments_removed:
        assert ds.version == version
        return
    assert facts(ds.checkout_version(version)) == before
    if any("blob" in str(field.metadata) for field in ds.schema):
        return  # pylance shows places of blobs, which are others now
    theirs = oracle("14.0.2").run(
        READ, root=str(path), columns=ds.schema.names, with_row_id=ds.has_stable_row_ids
    )
    assert rows(theirs) == rows(ds.to_table(with_row_id=ds.has_stable_row_ids))
