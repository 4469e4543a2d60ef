"""What users give datasets: what is none ends as an OptionError that says so, before anything is written."""

from __future__ import annotations

from datetime import date, datetime

import pyarrow as pa
import pytest

import lancelet
from lancelet.errors import FormatError, OptionError
from lancelet.schema.fields import Schema
from lancelet.storage import MemoryStore
from lancelet.table.formats.deletions import write_deletions
from lancelet.table.formats.operations import Delete, MapUpdate, Overwrite, Restore, UpdateConfig
from oracle.client import RELEASES, oracle

RESERVED = ("_rowid", "_rowaddr", "_rowoffset", "_row_created_at_version", "_row_last_updated_at_version")


@pytest.fixture
def made() -> lancelet.Dataset:
    table = pa.table({"a": range(10), "s": [{"x": number} for number in range(10)]})
    return lancelet.write_dataset(table, MemoryStore(), max_rows_per_file=4)


def test_no_predicate_deletes_nothing(made) -> None:
    """A filter that is left out means all rows to a scan; to a deletion it must mean a mistake."""
    with pytest.raises(OptionError, match="needs a predicate"):
        made.delete(None)
    assert lancelet.dataset(made.store).count_rows() == 10
    assert made.delete("true") == {"num_deleted_rows": 10}


@pytest.mark.parametrize("name", [*RESERVED, ""])
def test_names_that_hide_what_readers_make_of_rows(made, name) -> None:
    """Values of a column ``_rowid`` could be stored, but row ids would come in their place."""
    own = pa.table({"k": [1], name: pa.array([7], pa.uint64())})
    store = MemoryStore()
    with pytest.raises(OptionError, match="is no name of a column"):
        lancelet.write_dataset(own, store)
    assert list(store.list("")) == []
    for change in (
        lambda: lancelet.write_dataset(own, made, mode="overwrite"),
        lambda: made.add_columns({name: "a"}),
        lambda: made.add_columns(pa.field(name, pa.int8())),
        lambda: made.alter_columns({"path": "a", "name": name}),
        lambda: lancelet.commit(made, Overwrite(Schema.from_arrow(own.schema), ())),
    ):
        with pytest.raises(OptionError, match="is no name of a column"):
            change()
    assert made.latest_version == 1
    made.alter_columns({"path": "s.x", "name": name or "y"})  # below a struct it hides nothing
    assert made.take([3]).to_pylist() == [{"a": 3, "s": {name or "y": 3}}]


@pytest.mark.parametrize("release", RELEASES)
def test_pylance_reserves_the_same_names(release, tmp_path) -> None:
    code = """
result = []
for name in names:
    try:
        lance.write_dataset(pa.table({name: pa.array([7], pa.uint64())}), f"{root}/{name}").to_table()
    except BaseException:
        result.append(name)
"""
    names = [*RESERVED, "_score", "_distance", "_row"]
    assert oracle(release).run(code, names=names, root=str(tmp_path)) == [*RESERVED]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda ds: lancelet.dataset(ds, asof="2020-01-01"), "must be a datetime"),
        (lambda ds: lancelet.dataset(ds, asof=date(2030, 1, 1)), "must be a datetime"),
        (lambda ds: lancelet.dataset(ds, asof=datetime.min), "no time in UTC"),
        (lambda ds: ds.to_table(columns=5), "list of names"),
        (lambda ds: ds.take([1], columns=5), "list of names"),
        (lambda ds: ds.to_table(columns={5: "a"}), "both the name and the expression"),
        (lambda ds: ds.sample(3, seed=-1), "seed is -1"),
        (lambda ds: ds.sample(3, seed="x"), "seed is 'x'"),
        (lambda ds: ds.add_columns({"b": 5}), "cannot be made a table"),
        (lambda ds: ds.add_columns(pa.schema([])), "no column is added"),
        (lambda ds: ds.drop_columns(None), "list of names"),
        (lambda ds: ds.alter_columns(None), "an alteration is a mapping"),
        (lambda ds: ds.alter_columns(5), "an alteration is a mapping"),
        (lambda ds: ds.update_config(None), "a mapping of keys"),
        (lambda ds: ds.update_metadata("x"), "a mapping of keys"),
        (lambda ds: ds.update_field_metadata({"a": None}), "a mapping of keys"),
        (lambda ds: ds.update_field_metadata(None), "a mapping"),
        (lambda ds: ds.delete("a = 1", conflict_retries=-1), "conflict_retries is -1"),
        (lambda ds: ds.delete("a = 1", conflict_retries="x"), "conflict_retries is 'x'"),
        (lambda ds: ds.delete("a = 1", conflict_retries=None), "conflict_retries is None"),
        (lambda ds: ds.insert({"a": [1]}, transaction_properties=5), "a mapping of keys"),
        (lambda ds: ds.insert({"a": [1]}, transaction_properties={"k": 1}), "both must be text"),
        (lambda ds: ds.insert({"a": [1]}, transaction_properties={"k": None}), "both must be text"),
        (lambda ds: ds.insert({"a": [1]}, commit_message=5), "both must be text"),
        (lambda ds: ds.insert({"a": [1]}, progress=5), "progress is 5"),
        (lambda ds: ds.add_columns({"b": "a"}, progress=5), "progress is 5"),
        (lambda ds: ds.alter_columns({"path": "a", "data_type": pa.int8()}, progress=5), "progress is 5"),
        (lambda ds: ds.validate(progress=5), "progress is 5"),
        (lambda ds: ds.cleanup_old_versions(progress=5), "progress is 5"),
        (lambda ds: ds.add_columns(lambda batch: batch, reader_schema=5), "reader_schema is int"),
        (lambda ds: ds.delete_config_keys(5), "keys must be a list of names"),
        (lambda ds: ds.delete_config_keys(None), "keys must be a list of names"),
        (lambda ds: ds.delete_config_keys("xy"), "keys must be a list of names"),
        (lambda ds: ds.delete_config_keys([["x"]]), "one of keys"),
        (lambda ds: ds.scanner(fragments=5), "fragments is 5"),
        (lambda ds: ds.scanner(fragments=[1]), "get_fragments"),
        (lambda ds: ds.scanner(blob_handling=[]), "blob_handling is"),
        (lambda ds: ds.take([1], blob_handling={}), "blob_handling is"),
        (lambda ds: ds.get_transactions("x"), "recent_transactions is 'x'"),
        (lambda ds: ds.get_transactions(-1), "recent_transactions is -1"),
        (lambda ds: ds.get_transactions(None), "recent_transactions is None"),
        (lambda ds: ds.head(None), "num_rows is None"),
        (lambda ds: ds.get_fragments()[0].head(None), "num_rows is None"),
    ],
)
def test_what_is_no_argument(made, act, message) -> None:
    with pytest.raises(OptionError, match=message):
        act(made)
    assert made.latest_version == 1


HALF = "\ud800"


@pytest.mark.parametrize(
    "act",
    [
        lambda ds: ds.to_table(filter=f"a = '{HALF}'"),
        lambda ds: ds.count_rows(HALF),
        lambda ds: ds.delete(f"a = '{HALF}'"),
        lambda ds: ds.to_table(columns=[HALF]),
        lambda ds: ds.to_table(columns={HALF: "a"}),
        lambda ds: ds.to_table(columns={"b": f"'{HALF}'"}),
        lambda ds: ds.add_columns({HALF: "1"}),
        lambda ds: ds.add_columns({"b": f"'{HALF}'"}),
        lambda ds: ds.drop_columns([HALF]),
        lambda ds: ds.alter_columns({"path": "a", "name": HALF}),
        lambda ds: ds.alter_columns({"path": "s.x", "name": HALF}),
        lambda ds: ds.update_config({"k": HALF}),
        lambda ds: ds.update_config({HALF: None}),
        lambda ds: ds.delete_config_keys([HALF]),
        lambda ds: ds.update_metadata({"k": HALF}),
        lambda ds: ds.update_schema_metadata({HALF: "v"}),
        lambda ds: ds.update_field_metadata({"a": {"k": HALF}}),
        lambda ds: ds.insert({"a": [1]}, commit_message=HALF),
        lambda ds: ds.tags.create(HALF, 1),
        lambda ds: ds.drop_index(HALF),
        lambda ds: lancelet.commit(ds.store, UpdateConfig(config=MapUpdate({"k": HALF})), read_version=1),
        lambda ds: lancelet.commit(ds.store, UpdateConfig(table_metadata=MapUpdate({HALF: "v"})), 1),
        lambda ds: lancelet.commit(ds.store, UpdateConfig(schema_metadata=MapUpdate({HALF: "v"})), 1),
        lambda ds: lancelet.commit(ds.store, UpdateConfig(field_metadata={0: MapUpdate({"k": HALF})}), 1),
        lambda ds: lancelet.commit(ds.store, Restore(1), 1, commit_message=HALF),
        lambda ds: lancelet.commit(ds.store, Delete((), (0,), HALF), 1),
    ],
)
def test_half_of_a_surrogate_pair_is_no_text(made, act) -> None:
    """Python's strings may hold it, and nothing stores it: it came back as an error of the codec."""
    with pytest.raises(OptionError):
        act(made)
    assert made.latest_version == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pa.table({"a": range(5)}).select([]), "has no columns"),
        ({}, "has no columns"),
        (pa.array([1]), "cannot be made a table"),
        (pa.chunked_array([[1]]), "cannot be made a table"),
        ({"a": [1], "b": 5}, "cannot be made a table"),
    ],
)
def test_what_is_no_table(made, data, message) -> None:
    """Fragments without a column could be written, and no release of pylance opens a dataset that has one."""
    store = MemoryStore()
    for target, mode in ((store, "create"), (made, "append"), (made, "overwrite")):
        with pytest.raises(OptionError, match=message):
            lancelet.write_dataset(data, target, mode=mode)
    assert store.list("") == []
    assert made.latest_version == 1


def test_rows_as_mappings_may_differ_in_their_keys() -> None:
    made = lancelet.write_dataset([{"a": 1}, {"b": 2, "a": 3}, {"c": "x"}], MemoryStore())
    assert made.to_table().to_pydict() == {"a": [1, 3, None], "b": [None, 2, None], "c": [None, None, "x"]}


def test_a_deletion_that_fails_leaves_nothing(made, monkeypatch) -> None:
    """The first fragments have their deletion files by then."""
    written = []

    def write(store, fragment_id, read_version, offsets):
        if fragment_id == 2:
            raise FormatError("this fragment is damaged")
        written.append(fragment_id)
        return write_deletions(store, fragment_id, read_version, offsets)

    monkeypatch.setattr("lancelet.table.changes.deleting.write_deletions", write)
    with pytest.raises(FormatError, match="this fragment is damaged"):
        made.delete("a % 2 = 0")
    assert written == [0, 1]
    assert made.store.list("_deletions") == []


def test_a_row_id_under_another_name_is_not_the_row_id(made) -> None:
    found = made.to_table(columns={"id": "_rowid", "a": "a"}, with_row_id=True, limit=5)
    assert found.column_names == ["id", "a", "_rowid"]
    assert found["id"].to_pylist() == found["_rowid"].to_pylist() == [0, 1, 2, 3, 1 << 32]
