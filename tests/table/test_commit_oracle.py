"""pylance opens what lancelet commits and goes on with it, and the reverse; in both releases."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from commit_jobs import (
    added,
    append,
    commit,
    create,
    deletion,
    field,
    fragment,
    numbers,
    read_rows,
    rows,
    without,
)
from lancelet.errors import CommitConflict
from lancelet.storage import LocalStore
from lancelet.table.commits.commit import transaction_of
from lancelet.table.formats.manifest import latest_manifest, manifest_of
from lancelet.table.formats.names import Scheme
from lancelet.table.formats.operations import (
    Append,
    CreateIndex,
    MapUpdate,
    Overwrite,
    Restore,
    Rewrite,
    RewriteGroup,
    UpdateConfig,
)
from lancelet.table.formats.rowids import RowIds, Versions
from oracle.client import RELEASES, oracle

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.table.formats.manifest import Manifest

pytestmark = pytest.mark.parametrize("release", RELEASES)


def every_version(store: LocalStore, release: str, latest: Manifest) -> list[Any]:
    """Rows of each version as that release reads them; the dataset is validated too."""
    code = """
result = []
for version in range(1, latest + 1):
    dataset = lance.dataset(root, version=version)
    dataset.validate()
    result.append(dataset.to_table().to_pylist())
assert lance.dataset(root).version == latest
assert len(lance.dataset(root).versions()) == latest
"""
    found: list[Any] = oracle(release).run(code, root=store.name, latest=latest.version)
    return found


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_a_history_of_ours(release: str, tmp_path: Path, version: str, stable: bool) -> None:
    store = LocalStore(tmp_path / "dataset")
    scheme = Scheme.V1 if version == "2.0" else Scheme.V2
    latest = create(store, rows(1, 2, 3), rows(4), version=version, stable_row_ids=stable, scheme=scheme)
    latest = append(store, latest, rows(5, 6))
    latest = commit(store, latest, deletion(store, latest, 0, [1]))
    latest = commit(store, latest, deletion(store, latest, 1, [0]))
    latest = commit(store, latest, added(store, latest, field(2, "b"), 7, version=version))
    latest = commit(store, latest, UpdateConfig(MapUpdate({"x": "1"}), None, MapUpdate({"k": "v"})))
    latest = commit(store, latest, without(latest, "s"))
    latest = commit(store, latest, added(store, latest, field(3, "null")))
    latest = commit(store, latest, Restore(2))
    latest = commit(store, latest, Overwrite(latest.schema, (fragment(store, rows(9), version=version),)))
    versions = range(1, latest.version + 1)
    expected = [read_rows(store, manifest_of(store, number)) for number in versions]
    assert every_version(store, release, latest) == expected


@pytest.mark.parametrize("stable", [False, True])
def test_they_go_on_and_we_go_on(release: str, tmp_path: Path, stable: bool) -> None:
    store = LocalStore(tmp_path / "dataset")
    latest = create(store, rows(1, 2, 3), rows(4, 5), stable_row_ids=stable)
    latest = commit(store, latest, deletion(store, latest, 0, [1]))
    code = """
dataset = lance.dataset(root)
dataset.insert(pa.table({"a": [6, 7], "s": ["x", "y"]}))
dataset.delete("a = 4")
dataset.add_columns({"b": "a * 2"})
dataset.create_scalar_index("a", "BTREE")
dataset.delete("a = 3")
result = lance.dataset(root).version
"""
    assert oracle(release).run(code, root=store.name) == 7
    theirs = latest_manifest(store)
    assert [row["a"] for row in read_rows(store, theirs)] == [1, 5, 6, 7]
    latest = append(store, theirs, rows(8))
    latest = commit(store, latest, deletion(store, latest, 2, [1]))
    assert latest.index_section == theirs.index_section
    code = """
dataset = lance.dataset(root)
dataset.validate()
assert dataset.to_table(filter="a >= 6").column("a").to_pylist() == [6, 8]
dataset.optimize.compact_files()
dataset = lance.dataset(root)
result = dataset.to_table().sort_by("a").to_pylist(), dataset.to_table(filter="a = 8").num_rows
"""
    expected = [
        {"a": 1, "s": "row 1", "b": 2},
        {"a": 5, "s": "row 5", "b": 10},
        {"a": 6, "s": "x", "b": 12},
        {"a": 8, "s": "row 8", "b": None},
    ]
    assert oracle(release).run(code, root=store.name) == (expected, 1)
    latest = latest_manifest(store)
    latest = commit(store, latest, CreateIndex((), latest.indices))
    code = "dataset = lance.dataset(root); result = dataset.list_indices(), dataset.count_rows('a > 5')"
    assert oracle(release).run(code, root=store.name) == ([], 2)


def test_writers_of_both_race(release: str, tmp_path: Path) -> None:
    """Each decides from the other's transaction: what they append and delete meanwhile is kept, and ours too."""
    store = LocalStore(tmp_path / "dataset")
    first = create(store, rows(*range(10)))
    code = """
old = lance.dataset(root, version=1)
old.delete("a = 3")
lance.write_dataset(pa.table({"a": [20], "s": ["x"]}), lance.dataset(root, version=1), mode="append")
result = lance.dataset(root).version
"""
    mine = deletion(store, first, 0, [5])
    twice = deletion(store, first, 0, [3])
    assert oracle(release).run(code, root=store.name) == 3
    fourth = commit(store, first, mine)
    append(store, first, rows(21))
    with pytest.raises(CommitConflict, match="deleted already"):
        commit(store, first, twice)
    assert numbers(store, latest_manifest(store)) == [0, 1, 2, 4, 6, 7, 8, 9, 20, 21]
    code = """
old = lance.dataset(root, version=3)
old.delete("a = 7")
lance.write_dataset(pa.table({"a": [22], "s": ["x"]}), lance.dataset(root, version=1), mode="append")
dataset = lance.dataset(root)
dataset.validate()
result = dataset.version, dataset.to_table().column("a").to_pylist()
"""
    expected = [0, 1, 2, 4, 6, 8, 9, 20, 21, 22]
    assert oracle(release).run(code, root=store.name) == (7, expected)
    latest = latest_manifest(store)
    assert numbers(store, latest) == expected
    assert fourth.version == 4
    kinds = [transaction_of(store, manifest_of(store, number)).operation for number in range(1, 8)]
    names = [type(kind).__name__ for kind in kinds]
    assert names == ["Overwrite", "Delete", "Append", "Delete", "Append", "Delete", "Append"]


def test_their_delete_during_our_compaction(release: str, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "dataset")
    first = create(store, rows(1, 2), rows(3, 4), stable_row_ids=True)
    versions = Versions.constant(4, 1).serialize()
    new = replace(
        fragment(store, rows(1, 2, 3, 4)),
        row_ids=RowIds.range(0, 4).serialize(),
        created_at=versions,
        last_updated_at=versions,
    )
    rewrite = Rewrite((RewriteGroup(first.fragments, (new,)),))
    code = "lance.dataset(root).delete('a = 2'); result = None"
    oracle(release).run(code, root=store.name)
    with pytest.raises(CommitConflict, match="both change fragment 0"):
        commit(store, first, rewrite)
    third = commit(store, 2, Restore(1))
    assert commit(store, third, rewrite).version == 4
    code = """
dataset = lance.dataset(root)
dataset.validate()
result = dataset.to_table(with_row_id=True).to_pydict(), dataset.take([3]).to_pydict()["a"]
"""
    found, last = oracle(release).run(code, root=store.name)
    assert (found["a"], found["_rowid"], last) == ([1, 2, 3, 4], [0, 1, 2, 3], [4])


def test_the_hole_of_the_reference(release: str, tmp_path: Path) -> None:
    """They drop a column and add another, which gets the same id; what we append meanwhile is not read as the new one."""
    store = LocalStore(tmp_path / "dataset")
    first = create(store, rows(1))
    read = commit(store, first, added(store, first, field(2, "c"), 7))
    mine = Append((fragment(store, pa.table({"a": [8], "s": ["late"], "c": [777]})),))
    code = """
dataset = lance.dataset(root)
dataset.drop_columns(["c"])
dataset.add_columns({"d": "a * 2"})
result = None
"""
    oracle(release).run(code, root=store.name)
    assert latest_manifest(store).schema.fields[-1].id == 2  # otherwise this shows nothing
    commit(store, read, mine)
    code = "result = lance.dataset(root).to_table().column('d').to_pylist()"
    assert oracle(release).run(code, root=store.name) == [2, None]


def test_golden_datasets_go_on(release: str, golden_root: Path, tmp_path: Path) -> None:
    """An empty append and a config on each dataset of the corpus: nothing of it changes for its own release."""
    roots = sorted((golden_root / "datasets" / f"p{release}").glob("*.lance"))
    assert roots
    for root in roots:
        copy = tmp_path / root.name
        shutil.copytree(root, copy)
        latest = latest_manifest(LocalStore(copy))
        done = commit(LocalStore(copy), latest, UpdateConfig(MapUpdate({"seen": "1"})))
        done = commit(LocalStore(copy), latest, Append(()))
        assert done.version == latest.version + 2
    code = """
result = []
for before, after in pairs:
    old, new = lance.dataset(before), lance.dataset(after)
    new.validate()
    result.append(old.to_table(with_row_id=True).equals(new.to_table(with_row_id=True)))
"""
    pairs = [(str(root), str(tmp_path / root.name)) for root in roots]
    assert all(oracle(release).run(code, pairs=pairs))
