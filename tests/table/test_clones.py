"""Shallow clones and branches of pylance: they are read, files and all, and never written to."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from blob_tables import blob_table, sized
from lancelet.errors import FormatError, UnsupportedError
from lancelet.pb import table_pb2
from lancelet.storage import MemoryStore
from lancelet.table.formats.manifest import encode_manifest
from oracle.client import oracle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALUES = sized(3, 70_000, None, 5 << 20, 900)
CLONE = """
ds = lance.dataset(source)
ds.shallow_clone(root + "/clone", ds.version)
lance.dataset(root + "/clone").shallow_clone(root + "/again", ds.version)
ds.create_branch("side")
for path in ("/clone", "/source/tree/side"):
    lance.write_dataset(lance.dataset(root + path).to_table(columns=["id"]), root + path, mode="append")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with deletions, stable row ids and blobs in sidecar files; a clone and a branch with rows of their own."""
    root = tmp_path_factory.mktemp("clones")
    source = lancelet.write_dataset(blob_table(VALUES), root / "source", enable_stable_row_ids=True)
    source.insert(blob_table(VALUES[:2]))
    source.delete("id = 2")
    oracle("14.0.2").run(CLONE, source=str(root / "source"), root=str(root))
    return root


PLACES = ("clone", "again", "source/tree/side")


@pytest.mark.parametrize("place", PLACES)
def test_clones_are_read(place: str, root: Path) -> None:
    source, clone = lancelet.dataset(root / "source"), lancelet.dataset(root / place)
    wanted = source.to_table(blob_handling="all_binary", with_row_id=True)
    found = clone.to_table(blob_handling="all_binary", with_row_id=True)
    own = 0 if place == "again" else source.num_rows
    assert found.num_rows == wanted.num_rows + own
    assert found.slice(0, wanted.num_rows).to_pylist() == wanted.to_pylist()
    assert found.to_pylist() == _pylance(root / place).to_pylist()
    assert clone.take([1, 3], ["id"])["id"].to_pylist() == [1, 4]
    files = clone.take_blobs("b", indices=[1, 2])
    assert [file and file.read() for file in files] == [VALUES[1], VALUES[3]]
    clone.validate(read_data=True)
    copy = lancelet.write_dataset(clone, MemoryStore())
    assert copy.to_table(blob_handling="all_binary") == clone.to_table(blob_handling="all_binary")


def _pylance(path: Path) -> pa.Table:
    code = 'result = lance.dataset(root).to_table(blob_handling="all_binary", with_row_id=True)'
    found: pa.Table = oracle("14.0.2").run(code, root=str(path))
    return found


CHANGES: list[Callable[[Any], Any]] = [
    lambda ds: ds.insert(blob_table(VALUES[:1])),
    lambda ds: ds.insert(blob_table(VALUES[:1]), mode="overwrite"),
    lambda ds: lancelet.write_fragments(blob_table(VALUES[:1]), ds),
    lambda ds: ds.delete("id = 0"),
    lambda ds: ds.add_columns({"x": "id + 1"}),
    lambda ds: ds.alter_columns({"path": "id", "data_type": pa.int32()}),
    lambda ds: ds.drop_columns(["b"]),
    lambda ds: ds.update_config({"a": "b"}),
    lambda ds: ds.restore(),
    lambda ds: ds.optimize.compact_files(target_rows_per_fragment=100),
    lambda ds: lancelet.commit(ds, lancelet.LanceOperation.Append(()), ds.version),
]


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_clones_are_not_written_to(change: int, root: Path) -> None:
    """An append was committed, of rows that nobody here could read with the others."""
    for place in PLACES:
        before = sorted(path for path in (root / place).rglob("*") if path.is_file())
        with pytest.raises(UnsupportedError, match="can only be read"):
            CHANGES[change](lancelet.dataset(root / place))
        assert sorted(path for path in (root / place).rglob("*") if path.is_file()) == before


def test_cleaning_a_clone_up_leaves_its_source(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "clone", tmp_path / "clone")
    clone = lancelet.dataset(tmp_path / "clone")
    before = sorted((root / "source").rglob("*"))
    expected = clone.to_table()
    clone.cleanup_old_versions(timedelta(0), delete_unverified=True)
    assert sorted((root / "source").rglob("*")) == before
    assert lancelet.dataset(tmp_path / "clone").to_table() == expected


def _with_base(root: Path, **base: Any) -> lancelet.Dataset:
    """A clone whose base is another."""
    manifest = lancelet.dataset(root / "again").manifest
    message = table_pb2.Manifest()
    message.CopyFrom(manifest.message)
    for own in message.base_paths:
        own.path = base.get("path", own.path)
        own.is_dataset_root = base.get("is_dataset_root", True)
    store = MemoryStore()
    store.put(manifest.path, encode_manifest(message, b"", b""))
    return lancelet.dataset(store)


def test_bases_that_are_no_local_datasets(root: Path) -> None:
    for base, message in (
        ({"path": "s3://bucket/x"}, "datasets on s3:// are not handled"),
        ({"is_dataset_root": False}, "which is no dataset"),
    ):
        clone = _with_base(root, **base)
        assert clone.count_rows() == lancelet.dataset(root / "source").count_rows()
        with pytest.raises(UnsupportedError, match=message):
            clone.to_table()
    with pytest.raises(FormatError, match=r"no such deletion file|does not exist"):
        _with_base(root, path=str(root / "nowhere")).to_table()
