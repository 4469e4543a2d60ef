"""A dataset from its first row to its clean-up: a step a function, and every step checks what it promises.

    python examples/dataset.py [DIRECTORY]

DIRECTORY keeps the dataset; it must be empty or absent. Without it the dataset goes to a temporary one.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import lancelet
from lancelet import Dataset, FragmentMetadata, LanceOperation

CITIES = ("Oslo", "Lima", "Quito", "Accra", "Hanoi")


def weather(first: int, stop: int) -> pa.Table:
    """Make rows up: a reading of a station each."""
    rows = range(first, stop)
    return pa.table(
        {
            "id": pa.array(rows, pa.int64()),
            "city": [CITIES[row % len(CITIES)] for row in rows],
            "degrees": [None if row % 10 == 9 else (row % 60) - 15.0 for row in rows],
        }
    )


def show(dataset: Dataset, text: str) -> None:
    """Print what was done, and what the dataset is now."""
    print(f"version {dataset.version:>2}  {dataset.num_rows:>5} rows  {text}")


def check(holds: bool, promise: str) -> None:
    """Stop unless a promise is kept."""
    if not holds:
        sys.exit(f"this should hold, and does not: {promise}")


def create_and_append(path: str) -> Dataset:
    """Create a dataset, and add rows to it: each commit is a version, and readers see it whole or not at all."""
    dataset = lancelet.write_dataset(
        weather(0, 1000), path, enable_stable_row_ids=True, max_rows_per_file=400
    )
    show(dataset, f"created, in {len(dataset.get_fragments())} fragments")
    dataset = lancelet.write_dataset(
        weather(1000, 1500), dataset, mode="append", commit_message="the readings of February"
    )
    show(dataset, "rows appended; data files that were there stay as they are")
    return dataset


def read(dataset: Dataset) -> None:
    """Read columns, rows that satisfy a filter, single rows, and batches."""
    warm = dataset.to_table(columns=["id", "degrees"], filter="degrees > 40 and city in ('Oslo', 'Lima')")
    same = dataset.to_table(
        columns=["id", "degrees"],
        filter=(pc.field("degrees") > 40) & pc.field("city").isin(["Oslo", "Lima"]),
    )
    check(warm == same, "SQL and pyarrow expressions say the same")
    print(f"{'':12}{warm.num_rows:>5} rows  have more than 40 degrees in Oslo or Lima")
    check(dataset.count_rows("degrees is null") == 150, "a tenth of the readings are null")
    check(dataset.take([1400, 7])["id"].to_pylist() == [1400, 7], "a take gives rows in the order asked for")
    computed = dataset.to_table(columns={"fahrenheit": "degrees * 1.8 + 32"}, limit=1)
    check(computed["fahrenheit"][0].as_py() == 5.0, "columns can be computed")
    rows = sum(batch.num_rows for batch in dataset.to_batches(batch_size=256))
    check(rows == dataset.num_rows, "batches hold all rows")
    check(pa.table(dataset).num_rows == rows, "a dataset is an Arrow stream for whoever takes one")


def delete(dataset: Dataset) -> None:
    """Delete rows: their positions are written down, and their ids are never used again."""
    before = dataset.to_table(columns=["id"], filter="id = 1234", with_row_id=True)["_rowid"]
    deleted = dataset.delete("degrees is null")["num_deleted_rows"]
    show(dataset, f"{deleted} rows deleted; data files stay as they are")
    check(dataset.count_rows("degrees is null") == 0, "deleted rows are gone")
    check(dataset.take_rows(before)["id"].to_pylist() == [1234], "stable row ids find rows after others went")


def change_columns(dataset: Dataset) -> None:
    """Add columns, computed or null, rename one, change its type, and drop one."""
    dataset.add_columns({"is_freezing": "degrees < 0"})
    show(dataset, "column is_freezing added, computed by an expression, into files beside the old ones")
    dataset.add_columns(pa.field("remark", pa.string()))
    show(dataset, "column remark added: all null, so no file is written")
    dataset.alter_columns({"path": "degrees", "name": "celsius", "data_type": pa.float32()})
    show(dataset, "column degrees renamed to celsius, and stored as 32-bit floats")
    dataset.drop_columns(["remark"])
    show(dataset, "column remark dropped; its field id is never used again")
    check(dataset.schema.names == ["id", "city", "celsius", "is_freezing"], "columns keep their places")


def travel(dataset: Dataset) -> None:
    """Give a version a name, look at old versions, and make one the newest again."""
    dataset.tags.create("clean", dataset.version)
    old = lancelet.dataset(dataset.uri, version=1)
    check(old.num_rows == 1000 and "degrees" in old.schema.names, "an old version is as it was")
    dataset.delete("city = 'Oslo'")
    show(dataset, "a mistake: all rows of Oslo deleted")
    dataset.checkout_version("clean").restore()
    dataset.checkout_latest()
    show(dataset, "the version with the tag 'clean' restored, as a new version")
    check(dataset.count_rows("city = 'Oslo'") > 0, "Oslo is back")


def write_part(uri: str, first: int, stop: int) -> list[FragmentMetadata]:
    """Write data files and commit nothing: this runs in processes of its own, which might be other machines."""
    rows = weather(first, stop).rename_columns(["id", "city", "celsius"])
    celsius = rows["celsius"].cast(pa.float32())
    rows = rows.set_column(2, "celsius", celsius).append_column("is_freezing", pc.less(celsius, 0))
    fragments = lancelet.write_fragments(rows, uri)
    assert isinstance(fragments, list)
    return fragments


def write_distributed(dataset: Dataset) -> Dataset:
    """Let several processes write, and commit what they wrote at once."""
    starts = range(2000, 2400, 100)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(write_part, dataset.uri, start, start + 100) for start in starts]
        fragments = [fragment for part in parts for fragment in part.result()]
    operation = LanceOperation.Append(tuple(fragments))
    dataset = lancelet.commit(dataset.uri, operation, read_version=dataset.version)
    show(dataset, f"{len(fragments)} fragments of 2 processes committed as one version")
    check(dataset.count_rows("id >= 2000") == 400, "all rows of all processes are there")
    return dataset


def compact(dataset: Dataset) -> None:
    """Join the small fragments: rows stay, though in another order, and stable row ids find them."""
    before = dataset.to_table(with_row_id=True).sort_by("id")
    plan = dataset.optimize.plan()
    print(f"{'':12}compaction would do {plan.num_tasks()} task, since: {plan.tasks[0].reasons[0]}")
    metrics = dataset.optimize.compact_files()
    show(dataset, f"{metrics.fragments_removed} fragments compacted to {metrics.fragments_added}")
    check(len(dataset.get_fragments()) == 1, "what is small becomes one fragment")
    check(dataset.to_table(with_row_id=True).sort_by("id") == before, "rows and their ids stay")
    check(dataset.optimize.plan().num_tasks() == 0, "then there is nothing to compact any more")


def clean_up(dataset: Dataset) -> None:
    """Look at what would go, and remove it; the version with a tag stays."""
    plan = dataset.plan_cleanup(older_than=timedelta(0), error_if_tagged_old_versions=False)
    print(f"{'':12}clean-up would remove versions {', '.join(map(str, plan.versions))}")
    stats = dataset.cleanup_old_versions(older_than=timedelta(0), error_if_tagged_old_versions=False)
    check(stats.old_versions == len(plan.versions), "what is planned is removed")
    left = [version["version"] for version in dataset.versions()]
    print(f"{'':12}removed {stats.bytes_removed:,} bytes; left are versions {', '.join(map(str, left))}")
    check(left == [dataset.tags.get_version("clean"), dataset.version], "tags and the latest version stay")
    dataset.validate(read_data=True)
    print(f"{'':12}validated: everything that the latest version names is there, and can be read")


def run(path: str) -> None:
    """Do everything once."""
    dataset = create_and_append(path)
    read(dataset)
    delete(dataset)
    change_columns(dataset)
    travel(dataset)
    dataset = write_distributed(dataset)
    compact(dataset)
    clean_up(dataset)


def main() -> None:
    """Choose the directory."""
    if len(sys.argv) > 1:
        run(sys.argv[1])
        print(f"the dataset is kept in {sys.argv[1]}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        run(str(Path(temporary, "weather")))


if __name__ == "__main__":
    main()
