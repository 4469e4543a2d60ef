"""The datasets of the corpus: what of them can be copied is the same afterwards, and why the rest cannot be is said."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from compact.copying import copy_problem, read_file
from lancelet.compact.copy import copy_files
from lancelet.compact.options import CompactionOptions
from lancelet.compact.plan import CompactionPlan, plan_compaction
from lancelet.storage import LocalStore
from lancelet.table.formats.manifest import latest_manifest
from lancelet.table.reads.scanner import Scanner
from lancelet.table.reads.snapshot import Snapshot
from table.golden_datasets import GoldenDataset, golden_datasets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("dataset", golden_datasets(), ids=lambda found: found.name)
def test_golden_datasets(dataset: GoldenDataset, tmp_path: Path) -> None:
    store = LocalStore(shutil.copytree(dataset.path, tmp_path / "d"))
    (tmp_path / "d" / "data").chmod(0o755)
    manifest = latest_manifest(store)
    assert manifest is not None
    snapshot, version = Snapshot(store, manifest), manifest.storage_version
    problems = [copy_problem(store, fragment) for fragment in manifest.fragments]
    good = [
        fragment for fragment, problem in zip(manifest.fragments, problems, strict=True) if problem is None
    ]
    if good:
        (copy,) = copy_files(store, good, snapshot.stored_schema, version)
        rows = Scanner(snapshot.part(good)).to_table().to_pylist()
        assert read_file(store, copy).to_pylist() == rows
        assert copy.num_rows == len(rows)
    plan = plan_compaction(snapshot, manifest, CompactionOptions())
    assert CompactionPlan.from_json(plan.to_json()).to_json() == plan.to_json()
    for task in plan.tasks:
        assert task.num_pages > 0
        assert (task.mode == "reencode") == bool(task.reasons)
