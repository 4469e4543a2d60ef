"""Every cell of the table of dataset.md 3.4, and what its letters mean in detail."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lancelet.errors import CommitConflict
from lancelet.pb import table_pb2
from lancelet.schema.fields import Schema
from lancelet.table.commits.conflicts import check_conflict
from lancelet.table.formats.bitmap import encode_bitmap
from lancelet.table.formats.metadata import DataFile, DeletionFile, FragmentMetadata
from lancelet.table.formats.operations import (
    Append,
    CreateIndex,
    DataReplacement,
    Delete,
    MapUpdate,
    Merge,
    Operation,
    Overwrite,
    Project,
    ReserveFragments,
    Restore,
    Rewrite,
    RewriteGroup,
    Unknown,
    Update,
    UpdateConfig,
)

SCHEMA = Schema.from_arrow(pa.schema([("a", pa.int64()), ("b", pa.int64())]))


def fragment(id_: int, *, path: str = "", deleted: int = 1) -> FragmentMetadata:
    files = (DataFile(path or f"{id_}.lance", (0, 1), (0, 1), 2, 1, 100),)
    return FragmentMetadata(id_, files, 10, DeletionFile("array", 1, id_, deleted))


def index(fields: list[int], fragments: list[int] | None) -> CreateIndex:
    bitmap = b"" if fragments is None else encode_bitmap(np.array(fragments, np.uint32))
    return CreateIndex((table_pb2.IndexMetadata(name="i", fields=fields, fragment_bitmap=bitmap),))


def replacement(id_: int, *fields: int) -> DataReplacement:
    return DataReplacement(((id_, DataFile("new", fields, tuple(range(len(fields))), 2, 1, 1)),))


def rewrite(*ids: int) -> Rewrite:
    return Rewrite((RewriteGroup(tuple(fragment(id_) for id_ in ids), (fragment(0),)),))


#: An operation of each kind, which touches fragment 1, field 0 and the key "k": whatever can clash with another here does.
TOUCHING: dict[str, Operation] = {
    "Append": Append((fragment(0),)),
    "Delete": Delete((fragment(1),), ()),
    "Update": Update((), (fragment(1),), (fragment(0),)),
    "Overwrite": Overwrite(SCHEMA, (), {"k": "mine"}),
    "CreateIndex": index([0], [1]),
    "Rewrite": rewrite(1),
    "Merge": Merge((fragment(1),), SCHEMA),
    "Restore": Restore(1),
    "Reserve": ReserveFragments(1),
    "Project": Project(SCHEMA),
    "UpdateConfig": UpdateConfig(MapUpdate({"k": "1"})),
    "DataReplacement": replacement(1, 0),
}
#: The same kinds, touching fragment 2, field 1 and key "other" instead.
APART: dict[str, Operation] = TOUCHING | {
    "Delete": Delete((fragment(2),), (3,)),
    "Update": Update((3,), (fragment(2),), (fragment(0),)),
    "Overwrite": Overwrite(SCHEMA, (), {"other": "theirs"}),
    "CreateIndex": index([1], [2]),
    "Rewrite": rewrite(2, 3),
    "UpdateConfig": UpdateConfig(MapUpdate({"other": "1"})),
    "DataReplacement": replacement(2, 1),
}
#: As dataset.md 3.4 has it. Letters with a condition are conflicts between operations of TOUCHING.
COLUMNS = (
    *("Append", "Delete", "Overwrite", "CreateIndex", "Rewrite", "Merge"),
    *("Restore", "Reserve", "Project", "UpdateConfig", "DataReplacement"),
)
TABLE = {
    "Append": "ok ok X ok ok ok X ok ok ok ok",
    "Delete": "ok D X ok F R X ok ok ok F",
    "Overwrite": "ok ok K ok ok ok ok ok ok K ok",
    "CreateIndex": "ok ok X ok F ok X ok ok ok F",
    "Rewrite": "ok F X F F R X ok ok ok F",
    "Merge": "R R X ok R R X ok X ok R",
    "Project": "ok ok X ok ok R X ok R ok ok",
    "Restore": "ok ok ok ok ok ok ok ok ok ok ok",
    "Reserve": "ok ok X ok ok ok X ok ok ok ok",
    "UpdateConfig": "ok ok K ok ok ok ok ok ok K ok",
    "DataReplacement": "ok F X F F ok X ok ok ok F",
}
CELLS = [
    (mine, theirs, letter)
    for row, letters in TABLE.items()
    for column, letter in zip(COLUMNS, letters.split(), strict=True)
    for mine in (["Delete", "Update"] if row == "Delete" else [row])
    for theirs in (["Delete", "Update"] if column == "Delete" else [column])
]


def outcome(mine: Operation, theirs: Operation) -> str:
    """ok, X, R, or the fragments to be merged."""
    try:
        shared = check_conflict(mine, theirs)
    except CommitConflict as error:
        names_both = type(mine).__name__ in str(error) and type(theirs).__name__ in str(error)
        letter = "R" if error.retryable else "X"
        return letter if names_both else f"{letter}, but it says {error}"
    return f"merge {sorted(shared)}" if shared else "ok"


@pytest.mark.parametrize(("mine", "theirs", "letter"), CELLS)
def test_cell(mine: str, theirs: str, letter: str) -> None:
    expected = {
        "ok": ("ok", "ok"),
        "X": ("X", "X"),
        "R": ("R", "R"),
        "F": ("R", "ok"),
        "D": ("merge [1]", "ok"),
        "K": ("X", "ok"),
    }[letter]
    assert outcome(TOUCHING[mine], TOUCHING[theirs]) == expected[0]
    assert outcome(TOUCHING[mine], APART[theirs]) == expected[1]


def test_all_cells_are_there() -> None:
    assert len(CELLS) == 12 * 12


@pytest.mark.parametrize("name", TOUCHING)
def test_nothing_goes_with_an_unknown_operation(name: str) -> None:
    assert outcome(TOUCHING[name], Unknown("clone")) == "X"
    assert outcome(Unknown("clone"), TOUCHING[name]) == "X"


def test_deletes_of_whole_fragments() -> None:
    some, whole = Delete((fragment(1),), ()), Delete((), (1,))
    assert outcome(some, whole) == "R"
    assert outcome(whole, some) == "R"
    assert outcome(whole, whole) == "R"
    assert outcome(whole, Delete((), (2,))) == "ok"
    assert outcome(some, Update((1,))) == "R"
    assert outcome(Update((1,)), some) == "R"
    assert outcome(Update((1,)), rewrite(1)) == "R"


def test_deletes_of_a_fragment_with_other_files_are_done_again() -> None:
    mine, theirs = Delete((fragment(1), fragment(2)), ()), Update((), (fragment(1, path="other"),))
    assert outcome(mine, theirs) == "R"
    struck = replace(fragment(2), files=(replace(fragment(2).files[0], fields=(0, -2)),))
    assert outcome(mine, Update((), (struck,))) == "R"
    assert outcome(mine, Update((), (fragment(2, deleted=5),))) == "merge [2]"


@pytest.mark.parametrize("swapped", [False, True])
def test_updates_of_columns_are_not_merged(swapped: bool) -> None:
    columns, rows = Update((), (fragment(1),), update_mode="columns"), Delete((fragment(1),), ())
    assert outcome(*((rows, columns) if swapped else (columns, rows))) == "R"
    apart = Delete((fragment(2),), ())
    assert outcome(*((apart, columns) if swapped else (columns, apart))) == "ok"


def test_an_index_that_does_not_say_its_rows_has_all() -> None:
    assert outcome(index([0], None), rewrite(1)) == "R"
    assert outcome(rewrite(1), index([0], None)) == "R"
    removal = CreateIndex((), index([0], [1]).new_indices)
    assert outcome(removal, rewrite(1)) == "ok"
    assert outcome(rewrite(1), removal) == "ok"


def test_replacements_of_other_fields_of_a_fragment() -> None:
    assert outcome(replacement(1, 0), replacement(1, 1)) == "ok"
    assert outcome(replacement(1, 0), replacement(2, 0)) == "ok"
    assert outcome(replacement(1, 0, 1), replacement(1, 1)) == "R"


@pytest.mark.parametrize("name", ["config", "table_metadata", "schema_metadata"])
def test_maps_clash_by_key_or_as_a_whole(name: str) -> None:
    def update(key: str, *, replace: bool = False) -> UpdateConfig:
        return UpdateConfig(**{name: MapUpdate({key: None}, replace)})

    assert outcome(update("a"), update("a")) == "X"
    assert outcome(update("a"), update("b")) == "ok"
    assert outcome(update("a", replace=True), update("b")) == "X"
    assert outcome(update("a"), update("b", replace=True)) == "X"
    others = {"config", "table_metadata", "schema_metadata"} - {name}
    assert (
        outcome(update("a"), UpdateConfig(**{other: MapUpdate({"a": "1"}, True) for other in others})) == "ok"
    )


def test_metadata_of_fields_clashes_by_field_and_key() -> None:
    def update(id_: int, key: str) -> UpdateConfig:
        return UpdateConfig(field_metadata={id_: MapUpdate({key: "1"})})

    assert outcome(update(0, "a"), update(0, "a")) == "X"
    assert outcome(update(0, "a"), update(0, "b")) == "ok"
    assert outcome(update(0, "a"), update(1, "a")) == "ok"


def test_updates_over_an_overwrite() -> None:
    overwrite = Overwrite(SCHEMA, (), {"k": "1"})
    assert outcome(UpdateConfig(schema_metadata=MapUpdate({})), overwrite) == "X"
    assert outcome(UpdateConfig(field_metadata={0: MapUpdate({})}), overwrite) == "X"
    assert outcome(UpdateConfig(MapUpdate({"other": "1"})), overwrite) == "ok"
    assert outcome(UpdateConfig(table_metadata=MapUpdate({"k": "1"})), overwrite) == "ok"
    assert outcome(UpdateConfig(MapUpdate({}, replace=True)), overwrite) == "X"


def test_conflicts_travel() -> None:
    for retryable in (False, True):
        error = CommitConflict("both", retryable=retryable)
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.message, copy.retryable, str(copy)) == ("both", retryable, str(error))
    assert "again" in str(CommitConflict("both", retryable=True))
