"""Commits whose number was free again, because others were faster and a clean-up was as well (table/commits/free_numbers.py).

What other processes would do in the middle of a commit is done by hooks, at the worst moments.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from lancelet.errors import CommitConflict, LanceletError, OptionError
from lancelet.storage import LocalStore
from lancelet.table.commits import commit as commit_module
from lancelet.table.commits import free_numbers
from lancelet.table.formats.manifest import list_versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lancelet.datasets.dataset import Dataset

OPERATIONS: dict[str, tuple[Callable[[Dataset], Any], Callable[[Dataset], bool]]] = {
    "delete": (lambda ds: ds.delete("a = 1"), lambda ds: 1 not in values(ds)),
    "delete all": (lambda ds: ds.delete("true"), lambda ds: not set(values(ds)) & {0, 1, 2}),
    "append": (lambda ds: ds.insert(table(77)), lambda ds: 77 in values(ds)),
    "rename": (lambda ds: ds.alter_columns({"path": "a", "name": "z"}), lambda ds: "z" in ds.schema.names),
    "drop": (lambda ds: ds.drop_columns(["b"]), lambda ds: "b" not in ds.schema.names),
    "config": (lambda ds: ds.update_config({"k": "v"}), lambda ds: ds.config().get("k") == "v"),
    "add": (lambda ds: ds.add_columns({"c": "a + 1"}), lambda ds: "c" in ds.schema.names),
}


def table(*numbers: int) -> pa.Table:
    return pa.table({"a": pa.array(numbers, pa.int64()), "b": pa.array([str(n) for n in numbers])})


def values(ds: Dataset) -> list[int]:
    name = "z" if "z" in ds.schema.names else "a"
    return ds.to_table()[name].to_pylist()


def others_append(root: Path, retain: int) -> None:
    """Somebody appends, and cleans up."""
    ds = lancelet.dataset(root)
    name = "z" if "z" in ds.schema.names else "a"
    new = {name: pa.array([9], pa.int64())}
    ds.insert(pa.table(new))
    lancelet.dataset(root).cleanup_old_versions(timedelta(0), retain_versions=retain)


def outcome(run: Callable[[Dataset], Any], ds: Dataset) -> LanceletError | None:
    try:
        run(ds)
    except LanceletError as error:
        return error
    return None


@pytest.mark.parametrize("retain", [1, 2, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_version_that_is_built_on_at_once_stays(
    name: str, retain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after my put somebody appends to my version, and cleans up what is before it."""
    root = tmp_path / "d"
    lancelet.write_dataset(table(0, 1, 2), root)
    ds, look = lancelet.dataset(root), commit_module.fate_of

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(commit_module, "fate_of", look)
        others_append(root, retain)
        return look(*arguments)

    monkeypatch.setattr(commit_module, "fate_of", late)
    run, took_effect = OPERATIONS[name]
    error = outcome(run, ds)
    latest = lancelet.dataset(root)
    latest.validate(read_data=True)
    assert took_effect(latest), "nothing is taken back that others have built on"
    assert 9 in values(latest)
    if error is not None:
        assert isinstance(error, CommitConflict)
        assert "look whether" in str(error)
    else:
        assert latest.version == 3


@pytest.mark.parametrize("vanishes", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_version_that_nobody_sees_is_no_success(
    name: str, vanishes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before my put others make the versions 2 and 3, and clean up: my put of 2 succeeds, behind 3."""
    root = tmp_path / "d"
    lancelet.write_dataset(table(0, 1, 2), root)
    ds, put, read = lancelet.dataset(root), LocalStore.put_if_absent, free_numbers._read
    others = []

    def late(self: LocalStore, path: str, data: Any) -> None:
        if path.startswith("_versions/") and not others:
            others.append(path)
            lancelet.dataset(root).insert(table(8))
            others_append(root, 1)
        put(self, path, data)

    def vanished(*arguments: Any) -> Any:
        if vanishes and len(others) == 1:
            others.append("")
            others_append(root, 1)
        return read(*arguments)

    monkeypatch.setattr(LocalStore, "put_if_absent", late)
    monkeypatch.setattr(free_numbers, "_read", vanished)
    run, took_effect = OPERATIONS[name]
    error = outcome(run, ds)
    monkeypatch.undo()
    latest = lancelet.dataset(root)
    latest.validate(read_data=True)
    made_again = name == "delete all" and error is None  # from the latest version
    assert made_again or {8, 9} <= set(values(latest))
    assert (error is None) == took_effect(latest)
    assert error is None or isinstance(error, CommitConflict)
    for number, _ in list_versions(LocalStore(root)):
        lancelet.dataset(root, version=number).to_table()


def test_a_dataset_that_was_made_anew(tmp_path: Path) -> None:
    root, other = tmp_path / "d", tmp_path / "other"
    lancelet.write_dataset(table(0), root)
    ds = lancelet.dataset(root)
    root.rename(other)
    with pytest.raises((FileNotFoundError, OptionError)):
        ds.insert(table(1))
    assert not list(root.glob("_versions/*"))
    lancelet.write_dataset(table(5), root)
    for change in (lambda: ds.insert(table(1)), lambda: ds.update_config({"k": "v"})):
        with pytest.raises(CommitConflict, match="made anew"):
            change()
    with pytest.raises(LanceletError):  # its files are gone
        ds.delete("a = 0")
    assert values(lancelet.dataset(root)) == [5]
    assert lancelet.dataset(root).version == 1


def test_an_append_over_a_cast_is_refused(tmp_path: Path) -> None:
    """The cast makes the column anew: what was written is of the old one, and would be lost without a word."""
    root = tmp_path / "d"
    lancelet.write_dataset(table(0), root)

    def batches() -> Any:
        yield from table(1, 2).to_batches()
        lancelet.dataset(root).alter_columns({"path": "a", "data_type": pa.int32()})

    with pytest.raises(CommitConflict, match="'a' was made anew") as refused:
        lancelet.write_dataset(batches(), root, mode="append", schema=table(1).schema)
    assert refused.value.retryable
    assert values(lancelet.dataset(root)) == [0]
