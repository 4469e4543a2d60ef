"""Writers that die or fail at any moment: a dataset reads as before or as after, and nothing stays that clean-up does not find."""

from __future__ import annotations

import random
import shutil
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import lancelet
from lancelet.storage import LocalStore
from lancelet.table.formats.manifest import list_versions
from race_jobs import (
    JOBS,
    Failing,
    append,
    blob_rows,
    create,
    delete,
    do_and_die,
    overwrite,
    processes,
    some_rows,
    wait_for,
    write_for_ever,
)
from table.dataset_files import files_below, files_named
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

CHANGES = ["append", "overwrite", "delete", "add_columns", "add_blobs", "cast"]


def prepare(root: Path) -> None:
    """A dataset with three versions: fragments, sidecar files, deletions."""
    store = LocalStore(root)
    create(store)
    append(store)
    lancelet.dataset(store).delete("id = 4")


def read(root: Path) -> pa.Table | None:
    """Read everything, and check what can be checked."""
    if not list_versions(LocalStore(root)):
        return None
    found = lancelet.dataset(root)
    found.validate(read_data=True)
    return found.to_table(blob_handling="all_binary")


def calls_of(job: str, root: Path) -> list[str]:
    """What a job asks of its store, from the dataset that :func:`prepare` makes."""
    store = Failing(str(root))
    if job != "create":
        prepare(root)
    JOBS[job](store)
    return store.calls


def points(num_calls: int, seed: str) -> list[int]:
    """Some moments to die."""
    return sorted(random.Random(seed).sample(range(num_calls), min(sample_or_full(3, 50), num_calls)))


def clean(root: Path) -> None:
    """Remove all that is not needed, and check that just that is gone."""
    found = lancelet.dataset(root)
    before, named = files_below(root), files_named(found.store, root)
    latest = {path for path in named if path.startswith("_versions/")}
    assert latest <= before
    stats = found.cleanup_old_versions(timedelta(0), delete_unverified=True)
    assert stats.failed_deletes == ()
    assert files_below(root) == files_named(found.store, root)
    assert len(list_versions(found.store)) == 1


def die(root: Path, job: str, at: int) -> None:
    process = processes().Process(target=do_and_die, args=(str(root), job, at))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, (job, at)


def outcomes(job: str, tmp_path: Path) -> tuple[list[str], pa.Table | None, pa.Table | None]:
    """Return the requests of a job, and the table before and after it."""
    calls = calls_of(job, tmp_path / "whole")
    after = read(tmp_path / "whole")
    before = None
    if job != "create":
        prepare(tmp_path / "before")
        before = read(tmp_path / "before")
    return calls, before, after


def is_committed(calls: list[str], at: int) -> bool:
    """Tell whether the manifest had its name when request `at` was counted."""
    committed = [number for number, call in enumerate(calls) if call.startswith("after commit _versions/")]
    return bool(committed) and at >= committed[0]


@pytest.mark.parametrize("job", ["create", *CHANGES])
def test_a_writer_is_killed_at_a_request(job: str, tmp_path: Path) -> None:
    calls, before, after = outcomes(job, tmp_path)
    for at in points(len(calls), job):
        root = tmp_path / f"killed-{at}"
        if before is not None:
            shutil.copytree(tmp_path / "before", root)
        die(root, job, at)
        expected = after if is_committed(calls, at) else before
        assert read(root) == expected, (at, calls[at])
        if expected is None:
            with pytest.raises(FileNotFoundError):
                lancelet.dataset(root)
            create(LocalStore(root))  # what the dead one left is in nobody's way
            assert read(root) == after
        clean(root)
        assert read(root) == (after if expected is None else expected)


def test_a_clean_up_is_killed_at_a_request(tmp_path: Path) -> None:
    calls, before, after = outcomes("clean_up", tmp_path)
    assert before == after
    assert files_below(tmp_path / "whole") == files_named(LocalStore(tmp_path / "whole"), tmp_path / "whole")
    for at in points(len(calls), "clean_up"):
        root = tmp_path / f"killed-{at}"
        shutil.copytree(tmp_path / "before", root)
        (root / "data" / "unnamed.lance").write_bytes(b"x")
        die(root, "clean_up", at)
        assert read(root) == before
        clean(root)
        assert read(root) == before


def test_writers_are_killed_at_any_time(tmp_path: Path) -> None:
    """Rows that were committed before the kill are there; of what was not yet, all or nothing."""
    chance = random.Random(5)
    for number in range(sample_or_full(6, 50)):
        root, progress = tmp_path / f"d{number}", tmp_path / f"p{number}"
        process = processes().Process(target=write_for_ever, args=(str(root), str(progress)))
        lancelet.write_dataset(some_rows(-10, 10), root)
        process.start()
        wait_for(progress, chance.randrange(12))
        process.join(chance.random() * 0.05)
        process.kill()
        process.join()
        done = progress.read_bytes().decode() if progress.exists() else ""
        found = lancelet.dataset(root)
        assert found.version - 1 in (len(done), len(done) + 1)
        found.validate(read_data=True)
        steps = "".join("ad" + "c" * (step % 5 == 4) for step in range(found.version))[: found.version - 1]
        assert steps.startswith(done)
        deleted = {10 * step + 3 for step in range(steps.count("d"))}
        rows = [*range(-10, 0), *(row for row in range(10 * steps.count("a")) if row not in deleted)]
        assert found.to_table()["id"].to_pylist() == rows
        clean(root)
        assert found.to_table()["id"].to_pylist() == rows


# ---- writers that fail and live


class FullError(OSError):
    """What the store says."""


def fail() -> None:
    raise FullError(28, "No space left on device")


@pytest.mark.parametrize("job", ["create", *CHANGES])
def test_a_writer_that_fails_leaves_nothing(job: str, tmp_path: Path) -> None:
    """At every request. Only who put the manifest and was told of an error cannot know, and leaves all as it is."""
    calls, before, after = outcomes(job, tmp_path)
    moments = range(len(calls))
    puts = [at for at in moments if "commit _versions/" in calls[at]]
    some = random.Random(job).sample(moments, len(calls) // 4)
    for at in sample_or_full(sorted({*some, *puts}), moments):
        root = tmp_path / f"failed-{at}"
        if before is not None:
            shutil.copytree(tmp_path / "before", root)
        was = files_below(root)
        committed = is_committed(calls, at)
        if committed and is_committed(calls, at - 1):  # a look at what is done already
            JOBS[job](Failing(str(root), at, fail))
            assert read(root) == after
            continue
        with pytest.raises(FullError):
            JOBS[job](Failing(str(root), at, fail))
        assert read(root) == (after if committed else before), (at, calls[at])
        if (
            " _versions/" not in calls[at]
            or "list" in calls[at]
            or "source" in calls[at]
            or "size" in calls[at]
        ):
            assert files_below(root) == was, (at, calls[at])
        elif committed or before is not None:
            clean(root)


def test_fragments_that_fail_leave_nothing(tmp_path: Path) -> None:
    table = blob_rows(0, 8)
    store = Failing(str(tmp_path / "whole"))
    lancelet.write_fragments(table, store, max_rows_per_file=4, mode="create")
    for at in range(len(store.calls)):
        root = tmp_path / f"failed-{at}"
        with pytest.raises(FullError):
            lancelet.write_fragments(table, Failing(str(root), at, fail), max_rows_per_file=4, mode="create")
        assert files_below(root) == set(), store.calls[at]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_data_that_fails_leaves_nothing(error: Any, tmp_path: Path) -> None:
    batches = blob_rows(0, 40).to_batches(max_chunksize=7)

    def given() -> Any:
        yield from batches[:4]
        raise error

    with pytest.raises(error):
        lancelet.write_dataset(given(), tmp_path / "d", schema=batches[0].schema, max_rows_per_file=10)
    assert files_below(tmp_path / "d") == set()


def test_jobs_do_what_they_say(tmp_path: Path) -> None:
    """The tests above would say nothing of jobs that change nothing."""
    prepare(tmp_path)
    for job in (overwrite, delete):
        before = read(tmp_path)
        job(LocalStore(tmp_path))
        assert read(tmp_path) != before
    for name in ("add_columns", "add_blobs", "cast"):
        before = read(tmp_path)
        JOBS[name](LocalStore(tmp_path))
        assert read(tmp_path) != before
