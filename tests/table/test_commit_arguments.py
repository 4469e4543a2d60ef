"""What users commit: nonsense, and fragments whose files are gone, end as an OptionError that says so, and change nothing."""

from __future__ import annotations

import inspect
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from lancelet import LanceOperation
from lancelet.datasets.writing import WRITER_OPTIONS
from lancelet.errors import FormatError, OptionError
from lancelet.file import FileWriter
from lancelet.schema.fields import Schema
from lancelet.storage import MemoryStore
from lancelet.table.formats.operations import (
    DataReplacement,
    MapUpdate,
    Rewrite,
    RewriteGroup,
    Update,
    UpdateConfig,
)

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.table.formats.metadata import FragmentMetadata

TABLE = pa.table({"a": [1, 2, 3]})


@pytest.fixture(params=["local", "memory"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> lancelet.Dataset:
    return lancelet.write_dataset(TABLE, tmp_path / "ds" if request.param == "local" else MemoryStore())


def written(ds: lancelet.Dataset) -> FragmentMetadata:
    (fragment,) = lancelet.write_fragments(TABLE, ds)
    return fragment


def refused(ds: lancelet.Dataset, operation: Any, match: str, **options: Any) -> None:
    options = {"read_version": 1, **options}
    with pytest.raises(OptionError, match=match):
        lancelet.commit(ds.store, operation, **options)
    assert lancelet.dataset(ds.store).latest_version == 1


@pytest.mark.parametrize("version", ["1", 1.0, True, -1, 1 << 64, [1]])
def test_impossible_read_versions(version: Any, made: lancelet.Dataset) -> None:
    refused(made, LanceOperation.Append([written(made)]), "no version", read_version=version)


@pytest.mark.parametrize("attempts", ["x", 0, 1.5, True])
def test_impossible_numbers_of_attempts(attempts: Any, made: lancelet.Dataset) -> None:
    refused(made, LanceOperation.Append([written(made)]), "attempts is none", max_retries=attempts)


@pytest.mark.parametrize("given", ["x", None, 5, [1], ["x"], {"a": 1}, iter(())])
def test_what_is_no_list_of_fragments(given: Any, made: lancelet.Dataset) -> None:
    for operation in (
        LanceOperation.Append(given),
        LanceOperation.Overwrite(Schema.from_arrow(TABLE.schema), given),
        LanceOperation.Delete(given, [], ""),
        LanceOperation.Merge(given, made.fields),
        Update(new_fragments=given),
        Rewrite((RewriteGroup((), given),)),
    ):
        refused(made, operation, "fragments.* is ")


def test_fragments_on_their_own_and_in_lists(made: lancelet.Dataset) -> None:
    refused(made, LanceOperation.Append(written(made)), "must be a list of FragmentMetadata")
    assert lancelet.commit(made.store, LanceOperation.Append([written(made)]), 1).num_rows == 6


@pytest.mark.parametrize(
    "operation",
    [
        "x",
        None,
        LanceOperation.Delete((), "12", ""),
        LanceOperation.Delete((), ["1"], ""),
        LanceOperation.Delete((), [-1], ""),
        LanceOperation.Delete((), [], None),
        LanceOperation.Overwrite(TABLE.schema, ()),
        LanceOperation.Overwrite(Schema.from_arrow(TABLE.schema), (), {"k": 1}),
        LanceOperation.Project("a"),
        LanceOperation.Restore("1"),
        LanceOperation.Restore(None),
        UpdateConfig("x"),
        UpdateConfig(MapUpdate("x")),
        UpdateConfig(MapUpdate({"k": 1})),
        UpdateConfig(table_metadata=MapUpdate({1: "v"})),
        UpdateConfig(field_metadata={"a": MapUpdate({})}),
        UpdateConfig(field_metadata={0: {"k": "v"}}),
        UpdateConfig(field_metadata=[0]),
        Update(removed_fragment_ids=[0.5]),
        Update(fields_modified="ab"),
        Rewrite([((), ())]),
        Rewrite("x"),
        DataReplacement([5]),
        DataReplacement([(0, "x")]),
        DataReplacement([("0", None)]),
    ],
    ids=lambda operation: f"{operation!r:.60}",
)
def test_operations_of_other_things(operation: Any, made: lancelet.Dataset) -> None:
    refused(made, operation, "it must be|is no operation")


FRAGMENT: list[dict[str, Any]] = [
    {"physical_rows": -1},
    {"physical_rows": "3"},
    {"physical_rows": 1 << 70},
    {"physical_rows": True},
    {"id": -1},
    {"id": "0"},
    {"id": 1 << 40},
    {"files": "x"},
    {"files": None},
    {"files": [5]},
    {"deletion_file": "x"},
    {"row_ids": "x"},
    {"created_at": [1]},
]


@pytest.mark.parametrize("changes", FRAGMENT, ids=repr)
def test_impossible_fragments(changes: dict[str, Any], made: lancelet.Dataset) -> None:
    refused(made, LanceOperation.Append([replace(written(made), **changes)]), "it must be")


FILE: list[dict[str, Any]] = [
    {"path": 5},
    {"path": b"x"},
    {"fields": ["a"]},
    {"fields": 0},
    {"fields": (1 << 40,)},
    {"column_indices": None},
    {"file_major_version": "2"},
    {"file_minor_version": -1},
    {"file_size_bytes": -1},
    {"file_size_bytes": 1.5},
    {"base_id": "x"},
]


@pytest.mark.parametrize("changes", FILE, ids=repr)
def test_impossible_data_files(changes: dict[str, Any], made: lancelet.Dataset) -> None:
    fragment = written(made)
    files = (replace(fragment.files[0], **changes),)
    refused(made, LanceOperation.Append([replace(fragment, files=files)]), "it must be")
    refused(made, DataReplacement([(0, files[0])]), "it must be")


@pytest.mark.parametrize("says_size", [False, True])
def test_files_that_are_not_there(says_size: bool, made: lancelet.Dataset) -> None:
    """A version that names a file that is gone could not be read: whoever lost it must hear of it now."""
    fragment = written(made)
    lost = replace(fragment.files[0], path="lost.lance")
    if not says_size:
        lost = replace(lost, file_size_bytes=None)
    new = replace(fragment, files=(lost,))
    for operation in (
        LanceOperation.Append([fragment, new]),
        LanceOperation.Overwrite(made.fields, [new]),
        Update(new_fragments=(new,)),
        Rewrite((RewriteGroup(made.manifest.fragments, (new,)),)),
    ):
        refused(made, operation, "no data file 'lost.lance'")
    assert made.to_table() == TABLE


def test_replacements_that_are_not_there(made: lancelet.Dataset) -> None:
    lost = replace(made.manifest.fragments[0].files[0], path="lost.lance")
    refused(made, DataReplacement(((0, lost),)), "no data file 'lost.lance'")


def test_files_of_another_size(made: lancelet.Dataset) -> None:
    fragment = written(made)
    size = fragment.files[0].file_size_bytes
    assert size is not None
    cut = replace(fragment, files=(replace(fragment.files[0], file_size_bytes=size - 1),))
    refused(made, LanceOperation.Append([cut]), f"has {size} bytes, and its fragment says {size - 1}")


def test_files_that_say_all_are_not_opened(made: lancelet.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    fragment, asked, opened = written(made), [], []
    kind = type(made.store)
    size, open_source = kind.size, kind.open_source
    monkeypatch.setattr(kind, "size", lambda store, path: asked.append(path) or size(store, path))
    monkeypatch.setattr(
        kind,
        "open_source",
        lambda store, path, **options: opened.append(path) or open_source(store, path, **options),
    )
    lancelet.commit(made.store, LanceOperation.Append([fragment]), 1)
    path = f"data/{fragment.files[0].path}"
    assert asked.count(path) == 1
    assert path not in opened
    asked.clear()
    ds = lancelet.write_dataset(TABLE, made.store, mode="append")  # its own files need no look
    assert ds.version == 3
    assert not [name for name in asked if name.startswith("data/")]


@pytest.mark.parametrize(
    "name", ["nonsense", "max_rows_per_groups", "profil", "version", "fields", "schema_"]
)
def test_unknown_options(name: str, tmp_path: Path) -> None:
    for write in (lancelet.write_dataset, lancelet.write_fragments):
        with pytest.raises(OptionError, match=f"no option '{name}'"):
            write(TABLE, tmp_path / "ds", **{name: 1})
    assert not (tmp_path / "ds").exists()
    with pytest.raises(OptionError, match="nearest are profile"):
        lancelet.write_dataset(TABLE, tmp_path / "ds", profil="small")


def test_options_of_writers_are_those_of_files() -> None:
    own = {
        name
        for name, parameter in inspect.signature(FileWriter.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert set(WRITER_OPTIONS) == own - {"version", "fields"}


class TestFoldersAndFilesInTheWay:
    """On a local disk a name may be taken by something of another kind: damage, and no error of the system."""

    @pytest.fixture
    def ds(self, tmp_path: Path) -> lancelet.Dataset:
        return lancelet.write_dataset(TABLE, tmp_path / "ds")

    def test_a_folder_in_place_of_the_only_manifest(self, ds: lancelet.Dataset, tmp_path: Path) -> None:
        (manifest,) = (tmp_path / "ds" / "_versions").iterdir()
        manifest.unlink()
        manifest.mkdir()
        with pytest.raises(FileNotFoundError):
            lancelet.dataset(ds.uri)
        with pytest.raises(FormatError, match="a folder stands where a file should be"):
            lancelet.write_dataset(TABLE, ds.uri)

    def test_a_folder_in_place_of_the_next_manifest(self, ds: lancelet.Dataset, tmp_path: Path) -> None:
        (manifest,) = (tmp_path / "ds" / "_versions").iterdir()
        manifest.with_name(f"{2**64 - 3:020}.manifest").mkdir()
        files = set((tmp_path / "ds" / "data").iterdir())
        with pytest.raises(FormatError, match="a folder stands where a file should be"):
            ds.insert(TABLE)
        assert lancelet.dataset(ds.uri).to_table() == TABLE
        assert set((tmp_path / "ds" / "data").iterdir()) == files

    @pytest.mark.parametrize("folder", ["_versions", "data", "_transactions"])
    def test_a_file_in_place_of_a_folder(self, folder: str, ds: lancelet.Dataset, tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "ds" / folder, ignore_errors=True)
        (tmp_path / "ds" / folder).write_text("")
        gone = folder == "_versions"  # and with it the dataset
        message = "No such file" if gone else "a file stands where a folder should be"
        with pytest.raises(FileNotFoundError if gone else FormatError, match=message):
            ds.insert(TABLE)

    def test_a_file_in_place_of_deletions_and_tags(self, ds: lancelet.Dataset, tmp_path: Path) -> None:
        (tmp_path / "ds" / "_deletions").write_text("")
        (tmp_path / "ds" / "_refs").write_text("")
        with pytest.raises(FormatError, match="a file stands where a folder should be"):
            ds.delete("a = 1")
        with pytest.raises(FormatError, match="a file stands where a folder should be"):
            ds.tags.create("t", 1)

    def test_a_folder_in_place_of_a_data_file_and_a_tag(self, ds: lancelet.Dataset, tmp_path: Path) -> None:
        (tmp_path / "ds" / "_refs" / "tags" / "t.json").mkdir(parents=True)
        with pytest.raises(FormatError, match="a folder stands where a file should be"):
            ds.tags.create("t", 1)
        (file,) = (tmp_path / "ds" / "data").iterdir()
        file.unlink()
        file.mkdir()
        with pytest.raises(FormatError, match="does not exist"):
            lancelet.dataset(ds.uri).to_table()

    def test_a_file_in_place_of_the_dataset(self, tmp_path: Path) -> None:
        (tmp_path / "ds").write_text("")
        with pytest.raises(OptionError, match="no folder"):
            lancelet.write_dataset(TABLE, tmp_path / "ds")
        with pytest.raises(FileNotFoundError):
            lancelet.dataset(tmp_path / "ds")
