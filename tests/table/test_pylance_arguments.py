"""A user of pylance changes one import: arguments have pylance's names and order, and what is not supported is said by name."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from lancelet.datasets.optimize import DatasetOptimizer
from lancelet.errors import CommitConflict, OptionError, UnsupportedError
from lancelet.storage import MemoryStore
from lancelet.table.formats.tags import Tags
from oracle.client import oracle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIGNATURES = """
import inspect, sys
import lance.fragment
modules = sys.modules["lance.dataset"], sys.modules["lance.fragment"]
homes = {name: next(getattr(m, name) for m in modules if hasattr(m, name)) for name in classes}
result = {}
def note(key, function):
    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:
        return
    result[key] = [(one.name, one.kind.name) for one in found if one.name != "self"]
for name, home in homes.items():
    for method in dir(home):
        static = inspect.getattr_static(home, method)
        if not method.startswith("_") and not isinstance(static, property) and callable(getattr(home, method)):
            note(f"{name}.{method}", getattr(home, method))
for name in ("dataset", "write_dataset"):
    note(name, getattr(lance, name))
note("write_fragments", lance.fragment.write_fragments)
note("commit", lance.LanceDataset.commit)
"""
CLASSES = {
    "LanceDataset": lancelet.Dataset,
    "LanceFragment": lancelet.Fragment,
    "LanceScanner": lancelet.Scanner,
    "Tags": Tags,
    "DatasetOptimizer": DatasetOptimizer,
    "FragmentMetadata": lancelet.FragmentMetadata,
}
#: Have more arguments than anybody gives by position; the last ones are taken by name.
LONG = ("dataset", "LanceFragment.to_table")


def own(key: str) -> Callable[..., Any] | None:
    home, _, method = key.partition(".")
    found: Callable[..., Any] | None = (
        getattr(CLASSES[home], method, None) if method else getattr(lancelet, home)
    )
    return found


@pytest.fixture(scope="module")
def signatures() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = oracle("14.0.2").run(SIGNATURES, classes=list(CLASSES))
    return found


def test_the_order_of_arguments_is_that_of_pylance(signatures) -> None:
    """Everything that may be given by position there may be given at the same position here."""
    wrong = {}
    for key, theirs in signatures.items():
        function = own(key)
        if function is None or not callable(function):
            continue
        ours = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
        positional = [one.name for one in ours if one.kind is one.POSITIONAL_OR_KEYWORD]
        expected = [name for name, kind in theirs if kind == "POSITIONAL_OR_KEYWORD"]
        if any(one.kind is one.VAR_POSITIONAL for one in ours):
            continue
        if positional[: len(expected)] != expected[: len(positional)]:
            wrong[key] = (positional, expected)
        if len(expected) > len(positional) and key not in LONG:
            wrong[key] = expected[len(positional) :]
    assert wrong == {}


def test_the_names_of_arguments_are_known(signatures) -> None:
    """Arguments that pylance has are parameters here, or stand in the lists of those that may be None."""
    from lancelet.table.inputs import accepted

    listed = {name for names in accepted.__all__ if names.isupper() for name in getattr(accepted, names)}
    listed |= {
        "external_blob_mode",
        "data_cache_bytes",
        "max_page_bytes",
    }
    taken = {*inspect.signature(lancelet.Scanner).parameters, *listed}
    unknown = []
    for key, theirs in signatures.items():
        function = own(key)
        if function is None or not callable(function) or key.startswith("DatasetOptimizer"):
            continue
        ours = inspect.signature(function).parameters.values()
        names = {one.name for one in ours}
        if any(one.kind is one.VAR_KEYWORD for one in ours):
            names |= taken
        if any(one.kind is one.VAR_POSITIONAL for one in ours):
            continue
        unknown += [(key, name) for name, kind in theirs if kind != "VAR_KEYWORD" and name not in names]
    assert unknown == []


@pytest.fixture
def made() -> lancelet.Dataset:
    return lancelet.write_dataset(pa.table({"a": range(10)}), MemoryStore(), max_rows_per_file=4)


def test_the_third_argument_of_reads_is_a_limit(made) -> None:
    """It was the size of batches of `to_batches`."""
    assert [batch.num_rows for batch in made.to_batches(["a"], "a >= 0", 5)] == [5]
    assert made.scanner(["a"], "a > 1", 3, 1).to_table()["a"].to_pylist() == [3, 4, 5]
    assert made.to_table(["a"], "a > 1", 3, 1, None, 2)["a"].to_pylist() == [3, 4, 5]
    assert made.sample(4, ["a"], False, seed=3)["a"].to_pylist() == sorted(
        made.sample(4, seed=3)["a"].to_pylist()
    )


HINTS = {
    "prefilter": True,
    "use_stats": False,
    "use_scalar_index": True,
    "disable_scoring_autoprojection": True,
}
EMPTY = {
    **dict.fromkeys(
        ("nearest", "full_text_query", "batch_size_bytes", "index_segments", "scan_stats_callback")
    ),
    "order_by": [],
    "fast_search": False,
    "include_deleted_rows": None,
    "row_addr_allowlist": None,
}


def test_scans_take_what_says_nothing(made) -> None:
    for read in (
        made.to_table,
        made.scanner,
        made.to_batches,
        made.count_rows,
        made.get_fragments()[0].to_table,
    ):
        read(**HINTS, **EMPTY)
    assert made.head(3, **HINTS).num_rows == 3
    assert made.get_fragments(None)[0].fragment_id == 0


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (lambda ds: ds.to_table(order_by=["a"]), "order_by"),
        (lambda ds: ds.to_table(nearest={"column": "a", "q": [1]}), "nearest"),
        (lambda ds: ds.to_table(None, None, None, None, {"q": [1]}), "nearest"),
        (lambda ds: ds.scanner(full_text_query="x"), "full_text_query"),
        (lambda ds: ds.to_batches(batch_size_bytes=5), "batch_size_bytes"),
        (lambda ds: ds.head(1, include_deleted_rows=True), "include_deleted_rows"),
        (lambda ds: ds.get_fragments()[0].scanner(order_by="a"), "order_by"),
        (lambda ds: ds.get_fragments("a > 1"), "filter"),
        (lambda ds: lancelet.dataset(ds, storage_options={"region": "x"}), "storage_options"),
        (lambda ds: lancelet.dataset(ds, commit_lock=print), "commit_lock"),
        (lambda ds: lancelet.dataset(ds, table_id=["a"]), "table_id"),
        (
            lambda ds: lancelet.write_dataset({"a": [1]}, ds, mode="append", target_bases=["x"]),
            "target_bases",
        ),
        (lambda ds: ds.insert({"a": [1]}, external_blob_mode="ingest"), "external_blob_mode"),
        (lambda ds: lancelet.write_fragments({"a": [1]}, ds, storage_options={"x": "y"}), "storage_options"),
        (
            lambda ds: lancelet.commit(ds, lancelet.LanceOperation.Append(()), 1, None, None, None, True),
            "detached",
        ),
        (
            lambda ds: lancelet.commit(
                ds, lancelet.LanceOperation.Append(()), 1, commit_timeout=timedelta(1)
            ),
            "commit_timeout",
        ),
        (lambda ds: ds.cleanup_old_versions(versions=[1]), "versions"),
    ],
)
def test_what_is_not_supported_is_named(made, act, named) -> None:
    with pytest.raises(UnsupportedError, match=f"^{named} "):
        act(made)
    assert made.latest_version == 1
    assert len(made.store.list("data")) == 3


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda ds: ds.to_table(foo=1), "'foo'; there are batch_readahead, .*with_row_id"),
        (lambda ds: ds.to_table(column=["a"]), "'column'; the nearest are columns"),
        (lambda ds: ds.to_batches(foo=1), "'foo'"),
        (lambda ds: ds.scanner(foo=1), "'foo'"),
        (lambda ds: ds.head(1, foo=1), "'foo'"),
        (lambda ds: ds.count_rows(foo=1), "'foo'"),
        (lambda ds: ds.get_fragments()[0].to_batches(foo=1), "'foo'"),
        (lambda ds: lancelet.dataset(ds, as_of=None), "'as_of'; the nearest are asof"),
        (lambda ds: lancelet.write_dataset({"a": [1]}, ds, mode="append", foo=1), "'foo'"),
        (lambda ds: lancelet.write_fragments({"a": [1]}, ds, foo=1), "'foo'"),
        (lambda ds: lancelet.commit(ds, lancelet.LanceOperation.Append(()), 1, foo=1), "'foo'"),
        (lambda ds: ds.cleanup_old_versions(foo=1), "'foo'"),
        (lambda ds: ds.delete("a = 1", retry_timeout=5), "retry_timeout is 5"),
    ],
)
def test_what_is_unknown_is_an_option_error(made, act, message) -> None:
    with pytest.raises(OptionError, match=message):
        act(made)
    assert made.latest_version == 1


def test_errors_show_no_secrets() -> None:
    with pytest.raises(UnsupportedError) as caught:
        lancelet.dataset(MemoryStore(), storage_options={"aws_secret_access_key": "0123"})
    assert "0123" not in str(caught.value)


def test_writers_take_what_says_nothing() -> None:
    store = MemoryStore()
    nothing = dict.fromkeys(
        ("storage_options", "commit_lock", "initial_bases", "use_legacy_format", "max_page_bytes")
    )
    found = lancelet.write_dataset(
        data_obj=pa.table({"a": [1]}),
        uri=store,
        data_cache_bytes=None,
        external_blob_mode="reference",
        allow_external_blob_outside_bases=True,
        max_rows_per_group=1024,
        session=None,
        **nothing,
    )
    fragments = lancelet.write_fragments(pa.table({"a": [2]}), found, storage_options=None, target_bases=[])
    operation = lancelet.LanceOperation.Append(fragments)
    found = lancelet.commit(store, operation, 1, None, None, None, False, 5, enable_stable_row_ids=None)
    assert found.count_rows() == 2
    opened = lancelet.dataset(store, None, None, 1 << 20, None, 100, {}, None, 1 << 20, session=found.session)
    assert opened.session is found.session


def test_a_deletion_gives_up_in_time(made, monkeypatch) -> None:
    tried = []

    def conflict(*_: object, **__: object) -> None:
        tried.append(1)
        raise CommitConflict("somebody else was faster", retryable=True)

    monkeypatch.setattr("lancelet.datasets.dataset.commit_transaction", conflict)
    with pytest.raises(CommitConflict):
        made.delete("a = 1", conflict_retries=5, retry_timeout=timedelta(0))
    assert len(tried) == 1
    with pytest.raises(CommitConflict):
        made.delete("a = 1", conflict_retries=2, retry_timeout=timedelta(seconds=100))
    assert len(tried) == 4


def test_all_descriptions_of_blobs_are_descriptions() -> None:
    field = pa.field("b", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    found = lancelet.write_dataset(
        pa.table([pa.array([b"x"], pa.large_binary())], pa.schema([field])),
        MemoryStore(),
        data_storage_version="2.1",
    )
    assert found.to_table(blob_handling="all_descriptions") == found.to_table()


def test_times_of_versions_are_those_of_pylance(tmp_path: Path) -> None:
    """They were in UTC, and could not be compared with times that have no zone."""
    root = tmp_path / "d"
    before = datetime.now()
    found = lancelet.write_dataset(pa.table({"a": [1]}), root)
    found.insert(pa.table({"a": [2]}))
    theirs = oracle("14.0.2").run("result = lance.dataset(root).versions()", root=str(root))
    for ours, other in zip(found.versions(), theirs, strict=True):  # they round through a float
        assert abs(ours["timestamp"] - other["timestamp"]) <= timedelta(microseconds=1)
    first, second = (version["timestamp"] for version in found.versions())
    assert before <= first <= second <= datetime.now()
    assert lancelet.dataset(root, asof=first).version == 1


def test_tags_as_pylance_makes_them(made) -> None:
    made.insert({"a": [10]})
    made.tags.create("now")
    lancelet.dataset(made, 1).tags.create("first")
    made.tags.create("same", "first")
    made.tags.update(tag="now", reference=1)
    assert {name: tag["version"] for name, tag in made.tags.list().items()} == {
        "first": 1,
        "now": 1,
        "same": 1,
    }
    assert [name for name, _ in made.tags.list_ordered(None)] == ["first", "now", "same"]
    with pytest.raises(KeyError):
        made.tags.list()["now"]["versions"]


def test_restore_needs_no_read_version(made) -> None:
    made.delete("a < 5")
    found = lancelet.commit(made.store, lancelet.LanceOperation.Restore(1))
    assert (found.version, found.count_rows()) == (3, 10)
    with pytest.raises(FileNotFoundError):
        lancelet.commit(MemoryStore(), lancelet.LanceOperation.Restore(1))
    with pytest.raises(OptionError, match="Append needs read_version"):
        lancelet.commit(made.store, lancelet.LanceOperation.Append(()))


def test_the_namespace_of_operations_has_operations_alone() -> None:
    names = dir(lancelet.LanceOperation)
    assert "Append" in names
    assert not {"TYPE_CHECKING", "annotations", "dataclass", "field", "Literal"} & set(names)
