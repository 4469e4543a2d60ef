"""``lancelet compact``: what it would do, what it did, how it shows progress, and with which exit code."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from command_jobs import files_of, parsed, printed, refused
from lancelet.cli.arguments import num_bytes
from lancelet.compact.options import MODES, CompactionOptions
from lancelet.compact.run import compact_files
from oracle.client import oracle

if TYPE_CHECKING:
    from pathlib import Path


def rows(start: int, stop: int) -> pa.Table:
    return pa.table({"id": range(start, stop), "name": [f"n{number}" for number in range(start, stop)]})


@pytest.fixture
def trips(tmp_path: Path) -> Path:
    """Ten fragments of ten rows each, three rows of the second deleted."""
    ds = lancelet.write_dataset(rows(0, 100), tmp_path / "trips", max_rows_per_file=10)
    ds.delete("id in (11, 12, 13)")
    return tmp_path / "trips"


def test_a_dry_run_writes_nothing_and_says_why(trips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = files_of(trips)
    lines = printed(capfd, "compact", trips, "--dry-run").splitlines()
    assert lines[0] == "version 2: 1 task"
    assert lines[1].split() == ["task", "fragments", "become", "rows", "bytes", "pages", "mode"]
    size = sum(
        fragment.files[0].file_size_bytes or 0 for fragment in lancelet.dataset(trips).manifest.fragments
    )
    assert lines[2].split() == ["0", "10", "1", "97", f"{size:,}", "20", "reencode"]
    assert lines[3].strip() == "reencode: fragment 1 has deletions"
    assert files_of(trips) == before


def test_a_dry_run_in_json(trips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = parsed(capfd, "compact", trips, "--dry-run", "--target-rows", 10)
    assert (found["path"], found["version"], found["indices"]) == (str(trips), 2, [])
    assert found["options"]["target_rows_per_fragment"] == 10
    (task,) = found["tasks"]
    assert task.pop("bytes") > 0
    assert task == {
        "task": 0,
        "fragments": [1],
        "become": 1,
        "rows": 7,
        "pages": 2,
        "mode": "reencode",
        "reasons": ["fragment 1 has deletions"],
        "storage_version": "2.2",
    }


@pytest.mark.parametrize("arguments", [["--no-materialize-deletions"], ["--deletion-threshold", "0.3"]])
def test_few_deletions_are_no_reason(
    arguments: list[str], trips: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = files_of(trips)
    for more in ([], ["--dry-run"]):
        text = printed(capfd, "compact", trips, "--target-rows", 10, *arguments, *more)
        assert text == "version 2: nothing to compact\n"
    assert files_of(trips) == before


def test_a_run_prints_the_figures(trips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = lancelet.dataset(trips).to_table()
    lines = printed(capfd, "compact", trips).splitlines()
    ds = lancelet.dataset(trips)
    assert ds.to_table() == expected
    assert lines[0].startswith(f"version {ds.version}: 97 rows moved in ")
    assert lines[1:3] == ["fragments: 10 became 1", "files: 11 became 1"]
    assert lines[3].startswith("data: ")
    assert [line.split() for line in lines[4:]] == [
        ["column", "pages", "before", "pages", "after"],
        ["id", "10", "1"],
        ["name", "10", "1"],
    ]
    assert printed(capfd, "compact", trips) == f"version {ds.version}: nothing to compact\n"


def test_a_run_in_json(trips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = parsed(capfd, "compact", trips, "--threads", 2)
    assert found.pop("seconds") > 0
    assert found.pop("bytes_in") > found.pop("bytes_out") > 0
    assert found == {
        "path": str(trips),
        "version": lancelet.dataset(trips).version,
        "fragments_removed": 10,
        "fragments_added": 1,
        "files_removed": 11,
        "files_added": 1,
        "rows": 97,
        "pages": [{"path": name, "before": 10, "after": 1} for name in ("id", "name")],
    }
    again = parsed(capfd, "compact", trips)
    assert (again["version"], again["fragments_removed"], again["pages"]) == (found["version"], 0, [])


def test_every_argument_is_an_option(
    trips: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def noted(dataset: lancelet.Dataset, **options: Any) -> Any:
        seen.update(options)
        return compact_files(dataset, **options)

    monkeypatch.setattr("lancelet.datasets.optimize.compact_files", noted)
    ds = lancelet.dataset(trips)
    ds.update_config({"lance.compaction.target_rows_per_fragment": "20"})
    printed(capfd, "compact", trips)
    given = {name: value for name, value in seen.items() if name not in ("executor", "progress")}
    assert given == {}  # the config has its say
    assert len(lancelet.dataset(trips).manifest.fragments) == 4  # 27, 20, 20 and 30 rows
    sizes = ("--target-bytes", "1GB", "--max-bytes-per-file", "2GiB", "--memory-limit", "64MiB")
    counts = ("--target-rows", 7, "--max-rows-per-file", 50, "--threads", 1, "--deletion-threshold", "0.5")
    rest = ("--mode", "reencode", "--storage-version", "2.1", "--drop-indices", "--no-materialize-deletions")
    printed(capfd, "compact", trips, *sizes, *counts, *rest)
    del seen["progress"], seen["executor"]
    assert seen == {
        "target_rows_per_fragment": 7,
        "target_bytes_per_file": 10**9,
        "max_rows_per_file": 50,
        "max_bytes_per_file": 2 << 30,
        "compaction_mode": "reencode",
        "materialize_deletions": False,
        "materialize_deletions_threshold": 0.5,
        "data_storage_version": "2.1",
        "memory_limit": 64 << 20,
        "num_threads": 1,
        "drop_indices": True,
    }
    assert CompactionOptions(**seen)
    found = lancelet.dataset(trips)
    assert {file.version.text for part in found.manifest.fragments for file in part.files} == {"2.1"}


@pytest.mark.parametrize("mode", MODES)
def test_all_modes_are_known(mode: str, trips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if mode == "force_binary_copy":
        assert "fragment 1 has deletions" in refused(capfd, 1, "compact", trips, "--mode", mode)
    else:
        printed(capfd, "compact", trips, "--mode", mode)
        assert lancelet.dataset(trips).count_rows() == 97


def test_indices_in_the_way(trips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    oracle("14.0.2").run("lance.dataset(root).create_scalar_index('id', 'BTREE')", root=str(trips))
    before = files_of(trips)
    text = printed(capfd, "compact", trips, "--dry-run")
    assert "index 'id_idx' would not be true any more: it is in the way" in text
    text = printed(capfd, "compact", trips, "--dry-run", "--drop-indices")
    assert "index 'id_idx' would not be true any more: it goes" in text
    assert parsed(capfd, "compact", trips, "--dry-run")["indices"] == ["id_idx"]
    assert "'id_idx'" in refused(capfd, 1, "compact", trips)
    assert files_of(trips) == before
    printed(capfd, "compact", trips, "--drop-indices")
    assert lancelet.dataset(trips).list_indices() == []


def test_a_damaged_file_is_a_problem_of_the_data(trips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = next(iter(sorted((trips / "data").iterdir())))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    before = files_of(trips)
    refused(capfd, 1, "compact", trips)
    assert files_of(trips) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mode", "fast"), "invalid choice"),
        (("--target-rows", "0"), "at least 1"),
        (("--target-rows", "x"), "no number of rows"),
        (("--target-bytes", "1XB"), "no size"),
        (("--target-bytes", "0"), "at least 1 byte"),
        (("--memory-limit", "1i"), "no size"),
        (("--max-bytes-per-file", "-1"), "no size"),
        (("--deletion-threshold", "x"), "no number"),
        (("--deletion-threshold", "nan"), "at least 0"),
        (("--deletion-threshold", "-0.5"), "at least 0"),
        (("--storage-version", "7"), "'7'"),
        (("--version", "1"), "unrecognized arguments"),
    ],
)
def test_wrong_use(
    arguments: tuple[str, str], message: str, trips: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = files_of(trips)
    assert message in refused(capfd, 2, "compact", trips, *arguments)
    assert files_of(trips) == before


def test_what_is_no_dataset(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    assert "is a file" in refused(capfd, 2, "compact", tmp_path / "file")
    assert "no dataset" in refused(capfd, 2, "compact", tmp_path / "folder")
    assert "No such file" in refused(capfd, 2, "compact", tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("512b", 512),
        ("1GB", 10**9),
        ("1gb", 10**9),
        ("1G", 10**9),
        ("1GiB", 1 << 30),
        ("1.5 MiB", 3 << 19),
        ("2T", 2 * 10**12),
        ("0.5kB", 500),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert num_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "-1", "1e9", "1 G B", "1iB", "0", "0.1", "1.", "٣", "9" * 16, "inf"]
)
def test_texts_that_are_no_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        num_bytes(text)


def test_progress_is_shown_on_a_terminal_only(trips: Path, tmp_path: Path) -> None:
    pytest.importorskip("rich")
    pty = pytest.importorskip("pty")
    command = [sys.executable, "-m", "lancelet.cli", "compact", str(trips)]
    master, slave = pty.openpty()
    with (tmp_path / "out").open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=slave, check=False)
    os.close(slave)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.returncode == 0
    assert "97 rows" in shown
    assert "97 rows moved" in (tmp_path / "out").read_text()
