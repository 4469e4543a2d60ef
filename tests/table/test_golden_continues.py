"""The golden datasets go on: lancelet changes them, then both releases of pylance, then lancelet again; old versions stay."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import lancelet
from oracle.client import RELEASES, Oracle, oracle
from table.golden_datasets import GoldenDataset, golden_datasets

if TYPE_CHECKING:
    from pathlib import Path

READ = """
ds = lance.dataset(root)
ds.validate()
result = ds.version, ds.to_table(with_row_id=True, with_row_address=True)
"""


def check(root: str, reference: Oracle) -> lancelet.Dataset:
    ours = lancelet.dataset(root)
    version, expected = reference.run(READ, root=root)
    found = ours.to_table(with_row_id=True, with_row_address=True)
    assert ours.version == version
    assert found.schema == expected.schema
    assert found.to_pylist() == expected.to_pylist()
    ours.validate(read_data=True)
    return ours


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("golden", golden_datasets(), ids=lambda golden: golden.name)
def test_both_go_on(golden: GoldenDataset, release: str, tmp_path: Path) -> None:
    root, reference = str(tmp_path / "dataset"), oracle(release)
    shutil.copytree(golden.path, root, copy_function=shutil.copyfile)
    before = {version: lancelet.dataset(root, version).to_table() for version in golden.versions}

    ours = lancelet.dataset(root)
    key = ours.schema.names[0]
    some = pa.table({name: ours.head(5)[name] for name in ours.schema.names})
    ours.insert(some)
    ours.delete(f"{key} IS NULL OR {key} = {_literal(some)}")
    ours.add_columns(lambda batch: {"ours": pa.array([7] * batch.num_rows, pa.int16())})
    check(root, reference)

    changes = f"""
ds = lance.dataset(root)
ds.insert(ds.head(3))
ds.delete("{key} = 1")
ds.optimize.compact_files()
ds.add_columns({{"theirs": "ours + 1"}})
ds.create_scalar_index("ours", "BTREE")
"""
    reference.run(changes, root=root)
    ours = check(root, reference)
    ours.insert(ours.head(2))
    ours.delete("ours = 8")
    ours.alter_columns({"path": "theirs", "name": "renamed"})
    check(root, reference)
    reference.run("lance.dataset(root).optimize.optimize_indices()", root=root)
    check(root, reference)
    for version, table in before.items():
        assert lancelet.dataset(root, version).to_table() == table


def _literal(rows: pa.Table) -> str:
    """Return the first value of the first column in SQL; a dataset may have no rows."""
    if not rows.num_rows:
        return "0"
    value = rows.column(0)[0].as_py()
    return repr(value) if isinstance(value, str) else str(value if value is not None else 0)
