"""Clean-up: what goes and what stays, whatever lies in the folder; and that pylance works on afterwards, and the reverse."""

from __future__ import annotations

import copy
import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from blob_tables import blob_field, blob_table, sized
from histories import History
from lancelet.errors import CommitConflict, FormatError, OptionError, UnsupportedError
from lancelet.storage import LocalStore
from lancelet.table.changes import cleanup
from lancelet.table.changes.cleanup import UNVERIFIED_AGE, CleanupPolicy, clean_up, plan_cleanup
from lancelet.table.formats.manifest import encode_manifest, latest_manifest, list_versions
from lancelet.table.formats.names import manifest_path
from oracle.client import oracle
from race_jobs import some_rows
from table.dataset_files import files_below, files_named
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

NOW = timedelta(0)
DAY = timedelta(days=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five versions: create, append, delete, overwrite, append."""
    root = tmp_path / "dataset"
    dataset = lancelet.write_dataset(some_rows(0, 10), root)
    dataset.insert(some_rows(10, 10))
    dataset.delete("id = 3")
    dataset.insert(some_rows(20, 5), mode="overwrite")
    dataset.insert(some_rows(25, 5))
    return root


def versions(root: Path) -> list[int]:
    return [number for number, _ in list_versions(LocalStore(root))]


def make_old(root: Path, *patterns: str, days: float = 8) -> None:
    """Give files an age."""
    then = datetime.now().timestamp() - days * 86400
    for pattern in patterns:
        found = list(root.glob(pattern))
        assert found, pattern
        for path in found:
            os.utime(path, (then, then))


def plant(root: Path, *paths: str) -> set[str]:
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"something")
    return set(paths)


# ---- which versions


def test_what_no_version_needs_goes(root: Path) -> None:
    before = files_below(root)
    dataset = lancelet.dataset(root)
    expected = dataset.to_table()
    plan = dataset.plan_cleanup(NOW)
    assert files_below(root) == before, "a plan touches nothing"
    assert (plan.versions, len(plan.manifests)) == ((1, 2, 3, 4), 4)
    stats = dataset.cleanup_old_versions(NOW)
    assert stats == plan.stats
    assert (stats.old_versions, stats.data_files_removed, stats.transaction_files_removed) == (4, 2, 4)
    assert (stats.deletion_files_removed, stats.failed_deletes) == (1, ())
    assert stats.bytes_removed == sum(info.size for info in (*plan.files, *plan.manifests))
    assert files_below(root) == files_named(dataset.store, root)
    again = lancelet.dataset(root)
    assert again.to_table() == expected
    again.validate(read_data=True)
    assert again.cleanup_old_versions(NOW).bytes_removed == 0


def test_policies(root: Path) -> None:
    store = LocalStore(root)
    stamps = {number: lancelet.dataset(root, version=number).manifest.timestamp for number in versions(root)}

    def going(current: int | None = None, now: datetime | None = None, **options: Any) -> tuple[int, ...]:
        return plan_cleanup(store, CleanupPolicy(**options), current=current, now=now).versions

    assert going() == ()
    assert going(now=stamps[2] + timedelta(days=14)) == (1, 2)
    assert going(now=stamps[5] + timedelta(days=99)) == (1, 2, 3, 4)
    assert going(older_than=DAY) == ()
    assert going(older_than=DAY, now=stamps[3] + DAY) == (1, 2, 3)
    assert going(retain_versions=2) == (1, 2, 3)
    assert going(retain_versions=5) == going(retain_versions=99) == ()
    assert going(older_than=DAY, retain_versions=4, now=stamps[3] + DAY) == (1,)
    assert going(older_than=DAY, retain_versions=1, now=stamps[2] + DAY) == (1, 2)
    assert going(older_than=NOW, current=3) == (1, 2)
    assert lancelet.dataset(root, version=2).plan_cleanup(NOW).versions == (1,)


@pytest.mark.parametrize(
    "options",
    [{"older_than": timedelta(-1)}, {"older_than": 5}, {"retain_versions": 0}, {"retain_versions": True}],
)
def test_policies_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"older_than|retain_versions"):
        CleanupPolicy(**options)


def test_tagged_versions_stay(root: Path) -> None:
    dataset = lancelet.dataset(root)
    dataset.tags.create("first", 1)
    dataset.tags.create("third", 3)
    expected = {number: lancelet.dataset(root, version=number).to_table() for number in (1, 3, 5)}
    before = files_below(root)
    with pytest.raises(OptionError, match=r"'first' \(version 1\), 'third' \(version 3\)"):
        dataset.cleanup_old_versions(NOW)
    assert files_below(root) == before
    stats = dataset.cleanup_old_versions(NOW, error_if_tagged_old_versions=False)
    assert stats.old_versions == 2
    assert versions(root) == [1, 3, 5]
    for number, table in expected.items():
        found = lancelet.dataset(root, version=number)
        found.validate(read_data=True)
        assert found.to_table() == table
    assert files_below(root) == files_named(dataset.store, root) | {
        "_refs/tags/first.json",
        "_refs/tags/third.json",
    }


def test_an_old_tag_keeps_nothing_but_its_version(root: Path) -> None:
    """Release 4.0.1 removes only what is older than the oldest version that stays (dataset.md 8)."""
    dataset = lancelet.dataset(root)
    dataset.tags.create("first", 1)
    stats = dataset.cleanup_old_versions(NOW, error_if_tagged_old_versions=False)
    assert (stats.old_versions, stats.data_files_removed, stats.transaction_files_removed) == (3, 1, 3)


def test_branch_points_and_detached_versions_stay(root: Path) -> None:
    store = LocalStore(root)
    dataset = lancelet.dataset(root)
    message = lancelet.dataset(root, version=2).manifest.message
    detached = type(message)()
    detached.CopyFrom(message)
    detached.version = (1 << 63) + 7
    path = f"_versions/d{detached.version}.manifest"
    store.put(path, encode_manifest(detached, b"", b""))
    branch = {"parentBranch": None, "parentVersion": 3, "createAt": 1, "manifestSize": 5}
    import json

    store.put("_refs/branches/mine.json", json.dumps(branch).encode())
    plant(root, "tree/mine/_versions/18446744073709551612.manifest", "tree/mine/data/x.lance")
    make_old(root, "tree/mine/*/*")
    stats = dataset.cleanup_old_versions(NOW, delete_unverified=True)
    assert versions(root) == [3, 5]
    assert stats.old_versions == 3
    found = files_below(root)
    assert {path, "tree/mine/data/x.lance", "_refs/branches/mine.json"} <= found
    assert {
        f"data/{file.path}"
        for fragment in dataset.checkout_version(3).manifest.fragments
        for file in fragment.files
    } <= found
    lancelet.dataset(root, version=3).validate(read_data=True)
    store.put("_refs/branches/broken.json", b"{}")
    with pytest.raises(FormatError, match="a branch is damaged"):
        dataset.cleanup_old_versions(NOW)


# ---- which files


def test_files_that_nobody_names_stay_for_a_week(root: Path) -> None:
    young = plant(
        root, "data/young.lance", "_deletions/9-9-9.bin", "_transactions/9-x.txn", "_versions/.tmpAAAA"
    )
    stem = "0" * 31 + "1"
    old = plant(
        root,
        "data/old.lance",
        f"data/gone/{stem}.blob",
        "_deletions/8-8-8.arrow",
        "_transactions/8-x.txn",
        "_versions/.tmpBBBB",
        "_versions/18446744073709551000.manifest#1",
        "_versions/18446744073709551000.manifest-0a",
        "data/.tmpCCCC",
        "data/gone/.tmpDDDD",
        "_transactions/8-y.txn#2",
        "data/.old.lance.0123456789ab.tmp",
        "_refs/tags/.t.json.0123456789ab.tmp",
        "_indices/00000000-0000-0000-0000-000000000001/page.lance",
    )
    for path in old:
        make_old(root, path, days=7.01)
    make_old(root, "data/young.lance", days=6.99)
    dataset = lancelet.dataset(root)
    before = files_below(root)
    stats = dataset.cleanup_old_versions(99 * DAY)
    assert files_below(root) == before - old
    assert stats.old_versions == 0
    assert (stats.data_files_removed, stats.index_files_removed) == (2, 1)
    assert stats.unfinished_files_removed == 8
    assert dataset.cleanup_old_versions(99 * DAY, delete_unverified=True).bytes_removed == 9 * len(young)
    assert files_below(root) == before - old - young
    assert timedelta(days=7) == UNVERIFIED_AGE


def test_what_is_not_ours_is_never_touched(root: Path) -> None:
    foreign = plant(
        root,
        "notes.txt",
        "data/readme.md",
        "data/sub/x.lance",
        "data/x.lance/y",
        f"data/{'0' * 31}1.blob",
        "data/stem/short.blob",
        "_versions/notes.txt",
        "_versions/latest_version_hint.json",
        "_versions/sub/.tmpAAAA",
        "_deletions/x.parquet",
        "_deletions/sub/x.bin",
        "_transactions/x",
        "_indices/mine/page.lance",
        "_indices/.tmpAAAA",
        "_refs/tags/notes.md",
        "tree/b/data/x.lance",
        "other/data/x.lance",
        "other/_versions/.tmpAAAA",
        "other/.x.0123456789ab.tmp",
        ".hidden/x.lance",
    )
    for path in foreign:
        make_old(root, path, days=999)
    lancelet.dataset(root).cleanup_old_versions(NOW, delete_unverified=True)
    assert foreign <= files_below(root)
    assert versions(root) == [5]


def test_a_manifest_may_name_what_looks_left_behind(root: Path) -> None:
    store, latest = LocalStore(root), lancelet.dataset(root).manifest
    message = type(latest.message)()
    message.CopyFrom(latest.message)
    file = message.fragments[0].files[0]
    (root / "data" / file.path).rename(root / "data" / ".tmpfile.lance")
    file.path = ".tmpfile.lance"
    message.version = 6
    store.put(manifest_path(6), encode_manifest(message, b"", latest.transaction_bytes or b""))
    lancelet.dataset(root).cleanup_old_versions(NOW, delete_unverified=True)
    assert "data/.tmpfile.lance" in files_below(root)
    lancelet.dataset(root).validate(read_data=True)


def test_sidecar_files_go_with_their_data_file(tmp_path: Path) -> None:
    root = tmp_path / "d"
    field = blob_field(inline=10, dedicated=100)
    dataset = lancelet.write_dataset(blob_table(sized(50, 200, 5), field), root)
    first = {path for path in files_below(root) if path.startswith("data/")}
    dataset.insert(blob_table(sized(60, 300), field))
    second = {path for path in files_below(root) if path.startswith("data/")} - first
    assert (len(first), len(second)) == (3, 3)
    dataset.delete("id = 2")
    assert dataset.cleanup_old_versions(NOW).data_files_removed == 0
    assert first | second <= files_below(root)
    dataset.insert(blob_table(sized(70), field), mode="overwrite")
    assert dataset.cleanup_old_versions(NOW).data_files_removed == 6
    assert not (first | second) & files_below(root)
    assert files_below(root) == files_named(dataset.store, root)
    lancelet.dataset(root).validate(read_data=True)


def test_indices_go_when_no_version_names_them(tmp_path: Path) -> None:
    root = tmp_path / "d"
    code = """
lance.write_dataset(table, root).create_scalar_index("id", "BTREE")
result = lance.dataset(root).version
"""
    assert oracle("14.0.2").run(code, root=str(root), table=some_rows(0, 100)) == 2
    dataset = lancelet.dataset(root)
    index = {path for path in files_below(root) if path.startswith("_indices/")}
    assert index
    dataset.cleanup_old_versions(NOW, delete_unverified=True)
    assert index <= files_below(root)
    find = "ds = lance.dataset(root)\nds.validate()\nresult = ds.to_table(filter='id = 7').to_pylist()"
    assert oracle("14.0.2").run(find, root=str(root)) == some_rows(7, 1).to_pylist()
    (entry,) = dataset.list_indices()
    dataset.drop_index(entry["name"])
    stats = dataset.cleanup_old_versions(NOW)
    assert stats.index_files_removed == len(index)
    assert not index & files_below(root)


# ---- trouble


@pytest.mark.parametrize("damage", ["cut", "flags", "detached"])
def test_nothing_goes_if_a_manifest_cannot_be_read(damage: str, root: Path) -> None:
    store = LocalStore(root)
    path = dict(list_versions(store))[2]
    data = bytes(store.get_range(path, 0, store.size(path)))
    if damage == "cut":
        store.put(path, data[: len(data) // 2])
    elif damage == "flags":
        message = type(lancelet.dataset(root).manifest.message)()
        message.CopyFrom(lancelet.dataset(root, version=2).manifest.message)
        message.reader_feature_flags |= 1 << 40
        store.put(path, encode_manifest(message, b"", b""))
    else:
        store.put(f"_versions/d{(1 << 63) + 5}.manifest", data[:-9])
    before = files_below(root)
    with pytest.raises((FormatError, UnsupportedError), match="nothing is removed"):
        lancelet.dataset(root).cleanup_old_versions(NOW, delete_unverified=True)
    assert files_below(root) == before


class Stubborn(LocalStore):
    """A folder in which some files cannot be removed."""

    def __init__(self, root: Path, part: str) -> None:
        super().__init__(root)
        self._part = part

    def delete(self, path: str) -> None:
        if self._part in path:
            raise PermissionError(path)
        super().delete(path)


def test_files_stay_while_a_manifest_cannot_be_removed(root: Path) -> None:
    store = Stubborn(root, "_versions/")
    before = files_below(root)
    stats = lancelet.dataset(store).cleanup_old_versions(NOW)
    assert len(stats.failed_deletes) == 4
    assert (stats.old_versions, stats.bytes_removed) == (0, 0)
    assert files_below(root) == before


def test_a_file_that_cannot_be_removed_is_named_and_found_when_it_is_old(root: Path) -> None:
    store = Stubborn(root, "_deletions/")
    stats = lancelet.dataset(store).cleanup_old_versions(NOW)
    assert len(stats.failed_deletes) == 1
    assert stats.old_versions == 4
    assert versions(root) == [5]
    assert lancelet.dataset(root).cleanup_old_versions(NOW).deletion_files_removed == 0
    make_old(root, "_deletions/*")
    assert lancelet.dataset(root).cleanup_old_versions(NOW).deletion_files_removed == 1
    assert files_below(root) == files_named(LocalStore(root), root)


def test_what_a_restore_needs_meanwhile_stays(root: Path) -> None:
    store, before = LocalStore(root), lancelet.dataset(root, version=2).to_table()
    plan = plan_cleanup(store, CleanupPolicy(NOW))
    assert 2 in plan.versions
    lancelet.dataset(root, version=2).restore()
    clean_up(store, plan)
    assert versions(root) == [5, 6]
    latest = lancelet.dataset(root)
    latest.validate(read_data=True)
    assert latest.to_table() == before


def test_a_restore_of_what_is_removed_meanwhile_is_taken_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clean-up has looked at the tags before the restore, and for new versions too."""
    old, put, plan = (
        lancelet.dataset(root, version=2),
        LocalStore.put_if_absent,
        plan_cleanup(LocalStore(root), CleanupPolicy(NOW)),
    )

    def late(self: LocalStore, path: str, data: Any) -> None:
        if path.startswith("_versions/"):
            monkeypatch.setattr(LocalStore, "put_if_absent", put)
            monkeypatch.setattr(cleanup, "_check_tags", lambda *_: None)
            clean_up(LocalStore(root), plan)
        put(self, path, data)

    monkeypatch.setattr(LocalStore, "put_if_absent", late)
    with pytest.raises(CommitConflict, match="version 2 was removed while"):
        old.restore()
    assert versions(root) == [5]
    latest = lancelet.dataset(root)
    latest.validate(read_data=True)
    assert latest.tags.list() == {}


def test_what_a_restore_needs_is_not_cleaned_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean-up that comes while versions are held finds their tags."""
    old, put = lancelet.dataset(root, version=2), LocalStore.put_if_absent

    def late(self: LocalStore, path: str, data: Any) -> None:
        if path.startswith("_versions/"):
            monkeypatch.setattr(LocalStore, "put_if_absent", put)
            with pytest.raises(OptionError, match="held-"):
                lancelet.dataset(root).cleanup_old_versions(NOW)
        put(self, path, data)

    monkeypatch.setattr(LocalStore, "put_if_absent", late)
    old.restore()
    latest = lancelet.dataset(root)
    assert latest.version == 6
    latest.validate(read_data=True)
    assert latest.tags.list() == {}


def test_tags_that_come_between_plan_and_clean_up(root: Path) -> None:
    store, before = LocalStore(root), files_below(root)
    plan = plan_cleanup(store, CleanupPolicy(NOW))
    lancelet.dataset(root).tags.create("kept", 3)
    with pytest.raises(OptionError, match="version 3 has got the tag 'kept' meanwhile"):
        clean_up(store, plan)
    assert files_below(root) == before | {"_refs/tags/kept.json"}


@pytest.mark.parametrize("moved", [False, True], ids=["new", "moved"])
def test_a_tag_of_a_version_that_is_removed_meanwhile(
    moved: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = lancelet.dataset(root)
    if moved:
        dataset.tags.create("old", 5)
    name = "put" if moved else "put_if_absent"
    put = getattr(LocalStore, name)

    def late(self: LocalStore, path: str, data: Any) -> None:
        monkeypatch.setattr(LocalStore, name, put)
        lancelet.dataset(root).cleanup_old_versions(NOW)
        put(self, path, data)

    monkeypatch.setattr(LocalStore, name, late)
    with pytest.raises(OptionError, match="no version 3"):
        (dataset.tags.update if moved else dataset.tags.create)("old", 3)
    found = {tag: found.version for tag, found in dataset.tags.list().items()}
    assert found == ({"old": 5} if moved else {})


def test_files_that_somebody_else_removes(root: Path) -> None:
    store = LocalStore(root)
    first, second = (plan_cleanup(store, CleanupPolicy(NOW)) for _ in range(2))
    assert clean_up(store, first).old_versions == 4
    assert clean_up(store, second).bytes_removed == 0


def test_progress_and_no_dataset(root: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    lancelet.dataset(root).cleanup_old_versions(NOW, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total in seen} == {len(seen)}
    with pytest.raises(OptionError, match="no dataset"):
        plan_cleanup(LocalStore(tmp_path / "nothing"), CleanupPolicy())


def test_plans_can_be_read(root: Path) -> None:
    text = str(lancelet.dataset(root).plan_cleanup(NOW))
    assert "4 versions, 2 data files, 1 deletion files, 4 transactions" in text
    assert all(path in text for path in files_below(root) if path.startswith("_deletions/"))


# ---- histories


@pytest.mark.parametrize("seed", range(sample_or_full(6, 40)))
def test_no_version_that_stays_loses_a_file(seed: int, tmp_path: Path) -> None:
    """Random changes by lancelet; then every policy, on a copy: what stays is read as before, and nothing else is there."""
    history, root = History(seed, str(tmp_path / "d")), tmp_path / "d"
    table = history.new_rows(list(history.model.columns))
    lancelet.write_dataset(
        table,
        root,
        data_storage_version=history.storage,
        enable_stable_row_ids=history.stable,
        max_rows_per_file=50,
    )
    history.models[1] = copy.deepcopy(history.model)
    while len(history.models) < 13:
        step = history.step()
        if step.ours is None:  # only pylance can do it: take back what the model has of it
            history.model = copy.deepcopy(history.models[max(history.models)])
            continue
        dataset = lancelet.dataset(root)
        step.ours(dataset)
        history.models[lancelet.dataset(root).version] = copy.deepcopy(history.model)
    chance = random.Random(seed)
    for number in range(4):
        place = tmp_path / f"copy{number}"
        shutil.copytree(root, place)
        dataset = lancelet.dataset(place)
        tagged = chance.sample(sorted(history.models), chance.randrange(3))
        for version in tagged:
            dataset.tags.create(f"t{version}", version)
        retain, there = chance.randrange(1, 6), versions(place)
        dataset.cleanup_old_versions(NOW, retain, delete_unverified=True, error_if_tagged_old_versions=False)
        kept = sorted({*tagged, *there[-retain:]})
        assert versions(place) == kept
        for version in kept:
            found = lancelet.dataset(place, version=version)
            found.validate(read_data=True)
            if version not in history.models:  # one that only reserves ids for a compaction
                continue
            rows = found.to_table().sort_by("id").to_pylist()
            assert rows == history.models[version].table().to_pylist()
        rest = {path for path in files_below(place) if not path.startswith("_refs/")}
        assert rest == files_named(dataset.store, place)


# ---- with pylance

GO_ON = """
ds = lance.dataset(root)
ds.validate()
ds.insert(table)
ds.delete("id = 101")
ds.add_columns({"t": "id * 2"})
ds.optimize.compact_files()
result = ds.version, ds.to_table().sort_by("id").to_pylist(), [v["version"] for v in ds.versions()]
"""
CLEAN = """
from datetime import timedelta
ds = lance.dataset(root)
found = ds.cleanup_old_versions(timedelta(0), delete_unverified=True)
result = found.old_versions
"""


@pytest.mark.parametrize("release", ["4.0.1", "14.0.2"])
def test_pylance_goes_on_after_our_clean_up(release: str, tmp_path: Path) -> None:
    root = tmp_path / "d"
    dataset = lancelet.write_dataset(some_rows(0, 10), root, data_storage_version="2.1", max_rows_per_file=4)
    dataset.insert(some_rows(10, 3))
    dataset.delete("id = 2")
    dataset.cleanup_old_versions(NOW, delete_unverified=True)
    expected = [number for number in range(13) if number != 2]
    version, rows, listed = oracle(release).run(GO_ON, root=str(root), table=some_rows(100, 3))
    assert [row["id"] for row in rows] == [*expected, 100, 102]
    assert listed[0] == 3
    latest = lancelet.dataset(root)
    assert latest.version == version
    latest.validate(read_data=True)
    stats = latest.cleanup_old_versions(NOW, delete_unverified=True)
    assert stats.old_versions == len(listed) - 1
    assert lancelet.dataset(root).to_table().sort_by("id").to_pylist() == rows
    rest = {path for path in files_below(root) if not path.endswith("hint.json")}
    assert rest == files_named(latest.store, root)


@pytest.mark.parametrize("release", ["4.0.1", "14.0.2"])
def test_we_go_on_after_clean_up_by_pylance(release: str, tmp_path: Path) -> None:
    root = tmp_path / "d"
    dataset = lancelet.write_dataset(some_rows(0, 10), root, data_storage_version="2.1", max_rows_per_file=4)
    dataset.delete("id = 2")
    dataset.add_columns({"t": "id + 1"})
    expected = dataset.to_table()
    assert oracle(release).run(CLEAN, root=str(root)) == 2
    latest = lancelet.dataset(root)
    assert latest.to_table() == expected
    latest.validate(read_data=True)
    latest.insert(some_rows(10, 1).select(["id"]))
    latest.delete("id = 3")
    assert [row["id"] for row in latest.to_table().to_pylist()] == [0, 1, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("release", ["4.0.1", "14.0.2"])
def test_pylance_keeps_what_our_versions_need(release: str, tmp_path: Path) -> None:
    """Tags and transactions of ours mean to pylance what its own do."""
    root = tmp_path / "d"
    dataset = lancelet.write_dataset(some_rows(0, 10), root, data_storage_version="2.1")
    dataset.insert(some_rows(20, 5), mode="overwrite")
    dataset.insert(some_rows(30, 5), mode="overwrite")
    dataset.tags.create("old", 1)
    code = CLEAN.replace(
        "delete_unverified=True", "delete_unverified=True, error_if_tagged_old_versions=False"
    )
    assert oracle(release).run(code, root=str(root)) == 1
    assert versions(root) == [1, 3]
    for name in (1, 3):
        lancelet.dataset(root, version=name).validate(read_data=True)
    assert lancelet.dataset(root, tag="old").to_table() == some_rows(0, 10)


def test_times_are_those_of_manifests(root: Path) -> None:
    latest = latest_manifest(LocalStore(root))
    assert latest is not None
    assert abs(latest.timestamp - datetime.now(UTC)) < timedelta(minutes=5)
    assert pa.schema(lancelet.dataset(root).schema) == some_rows(0, 1).schema
