"""What racing and dying writers do to a dataset. A module, so that other processes can import it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

import lancelet
from blob_tables import blob_field, blob_table, sized
from lancelet.errors import CommitConflict, FormatError, OptionError
from lancelet.storage import LocalStore, Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lancelet.buffers import Data
    from lancelet.storage import Source
    from lancelet.storage.store import ObjectInfo

SCHEMA = pa.schema([("id", pa.int64()), ("s", pa.string())])


def processes() -> Any:
    """Return what makes processes: copies of one that has this module and no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["race_jobs"])
    return context


def some_rows(first: int, num_rows: int) -> pa.Table:
    ids = range(first, first + num_rows)
    return pa.table({"id": ids, "s": [f"row {number}" for number in ids]}, SCHEMA)


def append_many(root: str, writer: int, num_appends: int, reopen: bool) -> int:
    """Append rows 1000 * writer, 1000 * writer + 1, ..., each in a commit of its own; returns how often others were in the way.

    A conflict that says so is no end: the dataset is opened anew, and the row appended again.
    """
    dataset, num_conflicts = lancelet.dataset(root), 0
    for number in range(num_appends):
        table, missing = some_rows(1000 * writer + number, 1), True
        while missing:
            if reopen:
                dataset = lancelet.dataset(root)
            try:
                dataset = lancelet.write_dataset(table, dataset, mode="append")
                missing = False
            except CommitConflict as error:
                if not error.retryable:
                    raise
                num_conflicts += 1
    return num_conflicts


# ---- races of unlike changes


class Done(NamedTuple):
    """A change that somebody tried.

    Attributes
    ----------
    kind, detail
        What it was.
    seen
        The version that it began from.
    version
        The version that it made; ``None``: it was refused.
    """

    kind: str
    detail: Any
    seen: int
    version: int | None


def change_many(root: str, writer: int, kinds: Sequence[str], num_changes: int) -> list[Done]:
    """Make random changes, having looked at the latest version or at one that is older; returns what came of them.

    Changes that fail in a way that is no conflict raise what they raise.
    """
    chance = random.Random(writer)
    dataset = lancelet.dataset(root)
    found = []
    for number in range(num_changes):
        if chance.random() < 0.7:
            dataset = lancelet.dataset(root)
        kind, unique = chance.choice(list(kinds)), 1000 * writer + 10 * number
        seen = dataset.version
        detail, change = _CHANGES[kind](dataset, chance, unique)
        try:
            change()
            version = dataset.version
        except CommitConflict:
            version = None
        except OptionError:
            if kind not in ("drop", "rename", "restore"):  # somebody else has dropped the column
                raise
            version = None
        found.append(Done(kind, detail, seen, version))
    return found


def _append(dataset: lancelet.Dataset, chance: random.Random, unique: int) -> tuple[Any, Callable[[], Any]]:
    table = some_rows(unique, chance.randrange(1, 9))
    return table["id"].to_pylist(), lambda: dataset.insert(table.select(["id"]))


def _delete(dataset: lancelet.Dataset, chance: random.Random, unique: int) -> tuple[Any, Callable[[], Any]]:
    modulus = chance.choice([2, 3, 5])
    rest = chance.randrange(modulus)
    return (modulus, rest), lambda: dataset.delete(f"id % {modulus} = {rest}")


def _overwrite(
    dataset: lancelet.Dataset, chance: random.Random, unique: int
) -> tuple[Any, Callable[[], Any]]:
    table = some_rows(unique, 5)
    return table["id"].to_pylist(), lambda: dataset.insert(table, mode="overwrite")


def _add(dataset: lancelet.Dataset, chance: random.Random, unique: int) -> tuple[Any, Callable[[], Any]]:
    name = f"c{unique}"
    return name, lambda: dataset.add_columns({name: "id * 2"})


def _drop(dataset: lancelet.Dataset, chance: random.Random, unique: int) -> tuple[Any, Callable[[], Any]]:
    name = chance.choice([name for name in dataset.schema.names if name != "id"] or ["none"])
    return name, lambda: dataset.drop_columns([name])


def _rename(dataset: lancelet.Dataset, chance: random.Random, unique: int) -> tuple[Any, Callable[[], Any]]:
    old, new = (
        chance.choice([name for name in dataset.schema.names if name != "id"] or ["none"]),
        f"r{unique}",
    )
    return (old, new), lambda: dataset.alter_columns({"path": old, "name": new})


def _restore(dataset: lancelet.Dataset, chance: random.Random, unique: int) -> tuple[Any, Callable[[], Any]]:
    version = chance.randrange(1, dataset.version + 1)

    def change() -> None:
        old = dataset.checkout_version(version)
        old.restore()
        dataset._set(old.manifest)

    return version, change


_CHANGES = {
    "append": _append,
    "delete": _delete,
    "overwrite": _overwrite,
    "add": _add,
    "drop": _drop,
    "rename": _rename,
    "restore": _restore,
}


# ---- writers that die


class Stop(Exception):  # noqa: N818 - it is no error of anybody's
    """What a store raises when it fails."""


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Failing(LocalStore):
    """A folder that fails when it is asked for the n-th time: before it does what it is asked, or right after.

    Parameters
    ----------
    root
        The folder.
    at
        Which request: a call of the store, a write or a commit; counted from 0, twice for each.
    fail
        What happens.
    """

    def __init__(self, root: str, at: int = -1, fail: Callable[[], Any] = kill_me) -> None:
        super().__init__(root)
        self.at = at
        self.calls: list[str] = []
        self._fail = fail

    def count(self, what: str) -> None:
        self.calls.append(what)
        if len(self.calls) - 1 == self.at:
            self._fail()

    def _do(self, what: str, do: Callable[[], Any]) -> Any:
        self.count(f"before {what}")
        found = do()
        self.count(f"after {what}")
        return found

    def size(self, path: str) -> int:
        return self._do(f"size {path}", lambda: super(Failing, self).size(path))  # type: ignore[no-any-return]

    def list(self, folder: str = "") -> list[str]:
        return self._do(f"list {folder}", lambda: super(Failing, self).list(folder))  # type: ignore[no-any-return]

    def describe(self, folder: str = "", *, unfinished: bool = False) -> Sequence[ObjectInfo]:
        return self._do(  # type: ignore[no-any-return]
            f"describe {folder}", lambda: super(Failing, self).describe(folder, unfinished=unfinished)
        )

    def delete(self, path: str) -> None:
        self._do(f"delete {path}", lambda: super(Failing, self).delete(path))

    def put_note(self, path: str, data: Data) -> None:
        self._do(f"put_note {path}", lambda: super(Failing, self).put_note(path, data))

    def open_source(self, path: str, *, size: int | None = None) -> Source:
        return self._do(  # type: ignore[no-any-return]
            f"open_source {path}", lambda: super(Failing, self).open_source(path, size=size)
        )

    def open_sink(self, path: str, *, replace: bool = True) -> Sink:
        return _FailingSink(self, path, super().open_sink(path, replace=replace))


class _FailingSink(Sink):
    def __init__(self, store: Failing, path: str, sink: Sink) -> None:
        self.name, self._store, self._path, self._sink = sink.name, store, path, sink
        self._count("open_sink")

    def _count(self, what: str) -> None:
        try:
            self._store.count(f"{what} {self._path}")
        except BaseException:
            self._sink.abort()
            raise

    def write(self, data: Data) -> None:
        self._count("write")
        self._sink.write(data)

    def flush(self) -> None:
        self._sink.flush()

    def tell(self) -> int:
        return self._sink.tell()

    def commit(self) -> None:
        self._count("before commit")
        self._sink.commit()
        self._store.count(f"after commit {self._path}")

    def abort(self) -> None:
        self._sink.abort()


BLOBS = blob_field(inline=20, dedicated=2000)


def blob_rows(first: int, num_rows: int) -> pa.Table:
    """Rows with blobs inline, packed and dedicated."""
    sizes = [(5, 100, 3000)[number % 3] for number in range(first, first + num_rows)]
    table = blob_table(sized(*sizes), BLOBS)
    return table.set_column(0, "id", pa.array(range(first, first + num_rows)))


def create(store: LocalStore) -> None:
    lancelet.write_dataset(blob_rows(0, 8), store, max_rows_per_file=5)


def append(store: LocalStore) -> None:
    lancelet.write_dataset(blob_rows(100, 6), store, mode="append", max_rows_per_file=3)


def overwrite(store: LocalStore) -> None:
    lancelet.write_dataset(blob_rows(200, 8), store, mode="overwrite", max_rows_per_file=5)


def delete(store: LocalStore) -> None:
    lancelet.dataset(store).delete("id % 3 = 0")


def add_columns(store: LocalStore) -> None:
    lancelet.dataset(store).add_columns({"twice": "id * 2"})


def add_blobs(store: LocalStore) -> None:
    dataset = lancelet.dataset(store)
    blobs = blob_rows(0, dataset.count_rows()).select(["b"]).rename_columns(["more"])
    dataset.add_columns(blobs)


def cast(store: LocalStore) -> None:
    lancelet.dataset(store).alter_columns({"path": "id", "data_type": pa.int32()})


def clean_up(store: LocalStore) -> None:
    from datetime import timedelta

    lancelet.dataset(store).cleanup_old_versions(timedelta(0), delete_unverified=True)


JOBS = {
    job.__name__: job for job in (create, append, overwrite, delete, add_columns, add_blobs, cast, clean_up)
}


def do_and_die(root: str, job: str, at: int) -> None:
    """Do a job with a store that kills the process at a request."""
    JOBS[job](Failing(root, at))


def write_for_ever(root: str, progress: str) -> None:
    """Append rows, delete some of them and add columns, over and over; after each commit a byte goes to the file `progress`."""
    with open(progress, "ab", buffering=0) as file:  # noqa: PTH123
        for number in range(10**6):
            dataset = lancelet.write_dataset(some_rows(10 * number, 10), root, mode="append")
            file.write(b"a")
            dataset.delete(f"id = {10 * number + 3}")
            file.write(b"d")
            if number % 5 == 4:
                dataset.add_columns({f"c{number}": "id + 1"})
                file.write(b"c")


def wait_for(path: Path, num_bytes: int, seconds: float = 30.0) -> None:
    """Wait until a file has so many bytes."""
    end = time.monotonic() + seconds
    while not path.exists() or path.stat().st_size < num_bytes:
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.002)


# ---- races against a clean-up that keeps next to nothing


def clean_for(root: str, seconds: float) -> None:
    """Keep one version, or two, all the time."""
    chance, end = random.Random(1), time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            lancelet.dataset(root).cleanup_old_versions(timedelta(0), retain_versions=chance.choice([1, 2]))
        except OptionError:  # what it was to remove got a tag
            continue


def write_for(root: str, seconds: float, writer: int) -> tuple[set[int], set[int], set[int]]:
    """Append and delete; returns the ids that were appended, those that were deleted, and those of which nobody knows."""
    chance, end, number = random.Random(writer), time.monotonic() + seconds, 0
    there, gone, unknown = set[int](), set[int](), set[int]()
    while time.monotonic() < end:
        ids = {writer * 10**7 + 3 * number + place for place in range(3)}
        is_append = not there or chance.random() < 0.65
        if not is_append:
            ids = set(chance.sample(sorted(there), min(2, len(there))))
        number += 1
        try:
            dataset = lancelet.dataset(root)
            if is_append:
                dataset.insert(pa.table({"id": pa.array(sorted(ids), pa.int64())}))
                there |= ids
            else:
                dataset.delete(f"id in ({', '.join(map(str, ids))})")
                gone |= ids
                there -= ids
        except (CommitConflict, FormatError, FileNotFoundError) as error:
            # refused; or the version that was opened has been cleaned up
            if isinstance(error, CommitConflict) and "look whether" in str(error):
                unknown |= ids
    return there - unknown, gone - unknown, unknown


def disturb_for(root: str, seconds: float) -> None:
    """Compact, add and drop columns, change the configuration, restore."""
    chance, end, number = random.Random(7), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        with contextlib.suppress(CommitConflict, FormatError, FileNotFoundError):
            dataset = lancelet.dataset(root)
            choice = chance.randrange(4)
            if choice == 0:
                dataset.optimize.compact_files(compaction_mode=chance.choice(["hybrid", "reencode"]))
            elif choice == 1 and len(dataset.schema.names) < 4:
                dataset.add_columns({f"c{number}": "id + 1"})
            elif choice == 2 and len(dataset.schema.names) > 1:
                dataset.drop_columns([dataset.schema.names[-1]])
            else:
                dataset.update_config({"k": str(number)})


def restore_for(root: str, seconds: float) -> int:
    """Make versions, and restore old ones; returns how often that was done."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with contextlib.suppress(CommitConflict, FormatError, FileNotFoundError, OptionError):
            latest = lancelet.dataset(root)
            latest.insert(pa.table({"id": pa.array([number], pa.int64())}))
            lancelet.dataset(root, version=max(latest.version - 1, 1)).restore()
            number += 1
    return number
