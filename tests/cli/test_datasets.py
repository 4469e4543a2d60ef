"""The verbs of the command line on datasets: what they print, what they change, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lancelet
from command_jobs import files_of, parsed, printed, refused
from golden_index import golden_root, read_index
from lancelet.cli import main
from lancelet.cli.cleanup import _age

if TYPE_CHECKING:
    from pathlib import Path

PEOPLE = pa.table(
    {
        "id": [1, 2, 3, 4],
        "name": ["Ada", None, "Bob", "Cyd"],
        "at": pa.array([{"x": 1}, None, {"x": 3}, {"x": 4}]),
    }
)
ALL = ("info", "schema", "head", "cat", "versions", "validate", "compact", "cleanup")
FOR_DATASETS = ("versions", "validate", "compact", "cleanup")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Versions: 1 created, 2 appended, 3 deleted; version 2 has the tag ``full``."""
    path = tmp_path / "people"
    ds = lancelet.write_dataset(PEOPLE, path, max_rows_per_file=3, commit_message="the first \x1b[31mfour")
    ds.insert(PEOPLE.slice(0, 1).set_column(0, "id", pa.array([5])))
    ds.tags.create("full", 2)
    ds.delete("id = 2")
    return path


class TestInfo:
    def test_text(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        lines = {line[:15].strip(): line[17:] for line in printed(capfd, "info", people).splitlines()}
        assert lines.pop("time").endswith(" UTC")
        assert lines.pop("size").endswith(" KiB)")
        assert lines == {
            "dataset": str(people),
            "version": "3",
            "written by": f"lancelet {lancelet.__version__}",
            "rows": "4",
            "deleted": "1 (deletion files: 1)",
            "columns": "3",
            "fragments": "3",
            "data files": "3",
            "storage version": "2.2",
            "stable row ids": "no",
            "features": "deletion files",
            "indices": "none",
            "tags": "",
            "full": "version 2",
            "config": "none",
            "metadata": "none",
            "schema metadata": "none",
        }

    def test_an_old_version(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        for option in (("--version", "2"), ("--tag", "full")):
            text = printed(capfd, "info", people, *option)
            assert "2 (latest: 3)" in text
            assert "rows             5" in text

    def test_json(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        ds = lancelet.dataset(people)
        ds.update_config({"a": "b"})
        found = parsed(capfd, "info", people)
        assert found["timestamp"] == ds.manifest.timestamp.isoformat()
        sizes = [file.stat().st_size for file in (people / "data").iterdir()]
        assert {name: found[name] for name in found if name not in ("timestamp", "written_by", "path")} == {
            "version": 4,
            "latest_version": 4,
            "num_rows": 4,
            "num_deleted_rows": 1,
            "num_fragments": 3,
            "num_data_files": 3,
            "num_deletion_files": 1,
            "data_bytes": sum(sizes),
            "num_files_of_unknown_size": 0,
            "num_fields": 3,
            "storage_version": "2.2",
            "stable_row_ids": False,
            "reader_features": ["DELETION_FILES"],
            "writer_features": ["DELETION_FILES", "TABLE_CONFIG"],
            "indices": [],
            "tags": {"full": 2},
            "config": {"a": "b"},
            "metadata": {},
            "schema_metadata": {},
        }

    def test_an_uri(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert parsed(capfd, "info", people.as_uri()) == parsed(capfd, "info", people)


class TestSchema:
    def test_ids_stay(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        ds = lancelet.dataset(people)
        ds.drop_columns(["name"])
        ds.add_columns({"twice": "id * 2"})
        found = parsed(capfd, "schema", people)["fields"]
        # Fields 0 to 3 were id, name, at and at.x: the id of name is not given to another field.
        assert [(field["id"], field["path"]) for field in found] == [
            (0, "id"),
            (2, "at"),
            (3, "at.x"),
            (4, "twice"),
        ]
        assert " 1  name" in printed(capfd, "schema", people, "--version", 3)
        assert "name" not in printed(capfd, "schema", people)


class TestHead:
    def test_table(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert printed(capfd, "head", people).splitlines() == [
            "id  name  at",
            ' 1  Ada   {"x": 1}',
            ' 3  Bob   {"x": 3}',
            ' 4  Cyd   {"x": 4}',
            ' 5  Ada   {"x": 1}',
        ]

    def test_some_of_it(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        options = ("-n", 2, "--columns", "name,id")
        expected = ["name  id", "Ada    1", "Bob    3", "2 of 4 rows"]
        assert printed(capfd, "head", people, *options).splitlines() == expected
        found = printed(capfd, "head", people, *options, "--version", 1).splitlines()
        assert found == ["name  id", "Ada    1", "null   2", "2 of 4 rows"]

    def test_filter(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        where = ("--filter", "id > 1 and at.x < 10", "--columns", "id")
        assert printed(capfd, "head", people, *where).splitlines() == ["id", " 3", " 4", " 5"]
        assert printed(capfd, "head", people, *where, "--limit", 3).splitlines() == ["id", " 3", " 4", " 5"]
        found = printed(capfd, "head", people, *where, "-n", 2).splitlines()
        assert found == ["id", " 3", " 4", "the first 2 rows that satisfy the filter"]
        assert parsed(capfd, "head", people, *where, "-n", 1) == [{"id": 3}]
        assert printed(capfd, "head", people, "--filter", "id > 99", "--columns", "id") == "id\n"


class TestCat:
    def ids(self, capfd: pytest.CaptureFixture[str], *arguments: object) -> list[int]:
        return [json.loads(line)["id"] for line in printed(capfd, "cat", *arguments).splitlines()]

    @pytest.mark.parametrize(
        ("options", "ids"),
        [
            ((), [1, 3, 4, 5]),
            (("--tag", "full"), [1, 2, 3, 4, 5]),
            (("--rows", "1:3"), [3, 4]),
            (("--rows", "1:3", "--limit", "1"), [3]),
            (("--rows", "1:2", "--limit", "9"), [3]),
            (("--rows", "3:1"), []),
            (("--rows", "9:"), []),
            (("--limit", "2"), [1, 3]),
            (("--filter", "name = 'Ada'"), [1, 5]),
            (("--filter", "name = 'Ada'", "--rows", "1:"), [5]),
            (("--filter", "name is null", "--version", "1"), [2]),
        ],
    )
    def test_rows(
        self, options: tuple[str, ...], ids: list[int], people: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert self.ids(capfd, people, *options) == ids

    def test_csv(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        found = printed(capfd, "cat", people, "--format", "csv", "--columns", "name,id", "--limit", 1)
        assert found == '"name","id"\n"Ada",1\n'

    def test_limit_of_a_file(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        file = next((people / "data").iterdir())
        whole = self.ids(capfd, file)
        assert self.ids(capfd, file, "--limit", 1) == whole[:1]
        assert self.ids(capfd, file, "--rows", "1:", "--limit", 1) == whole[1:2]

    def test_values_of_blobs(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        field = pa.field("b", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
        table = pa.table([pa.array([b"a", None], pa.large_binary())], schema=pa.schema([field]))
        lancelet.write_dataset(table, tmp_path / "blobs", data_storage_version="2.1")
        assert printed(capfd, "cat", tmp_path / "blobs").splitlines() == ['{"b": "YQ=="}', '{"b": null}']

    def test_blobs_of_the_second_kind(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """As of files, their descriptors are shown: the values may lie anywhere."""
        type_ = pa.struct([("data", pa.large_binary()), ("uri", pa.string())])
        field = pa.field("b", type_, metadata={"ARROW:extension:name": "lance.blob.v2"})
        rows = pa.array([{"data": b"a"}, {"data": bytes(100_000)}], type_)
        lancelet.write_dataset(pa.table([rows], pa.schema([field])), tmp_path / "blobs")
        first, second = printed(capfd, "cat", tmp_path / "blobs").splitlines()
        assert json.loads(first)["b"]["kind"] == 0
        assert json.loads(second)["b"].items() >= {"kind": 1, "size": 100_000}.items()
        assert len(parsed(capfd, "head", tmp_path / "blobs")) == 2


class TestVersions:
    def test_text(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        heading, *lines = printed(capfd, "versions", people).splitlines()
        assert heading.split()[:3] == ["version", "time", "rows"]
        assert [line.split()[0] for line in lines] == ["3", "2", "1"]
        assert lines[0].endswith("Delete")
        assert lines[1].split()[-2:] == ["Append", "full"]
        # A message must not steer a terminal.
        assert lines[2].endswith(r"the first \x1b[31mfour")

    def test_json(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        found = parsed(capfd, "versions", people, "--limit", 2)
        facts = [(one["version"], one["total_rows"], one["operation"], one["tags"]) for one in found]
        assert facts == [(3, 4, "Delete", []), (2, 5, "Append", ["full"])]
        assert parsed(capfd, "versions", people)[-1]["message"] == "the first \x1b[31mfour"

    def test_a_version_without_its_transaction(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        ds = lancelet.dataset(people)
        manifest = ds.manifest
        message = type(manifest.message)()
        message.CopyFrom(manifest.message)
        message.version, message.transaction_file = 4, ""
        from lancelet.table.formats.manifest import encode_manifest
        from lancelet.table.formats.names import Scheme, manifest_path

        ds.store.put(manifest_path(4, Scheme.V2), encode_manifest(message, b"", b""))
        assert parsed(capfd, "versions", people)[0]["operation"] is None
        assert "unknown" in printed(capfd, "versions", people)


class TestCleanup:
    def test_nothing_is_removed_without_yes(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        before = files_of(people)
        assert printed(capfd, "cleanup", people) == "there is nothing to remove\n"
        text = printed(capfd, "cleanup", people, "--retain", 1)
        assert "would be removed with --yes: 1 versions" in text
        assert "18446744073709551614.manifest" in text
        found = parsed(capfd, "cleanup", people, "--older-than", "0s")
        assert found["removed"] is False
        assert found["versions"] == [1]
        assert sum(file["bytes"] for file in found["files"]) == found["bytes_removed"]
        assert files_of(people) == before

    @pytest.mark.parametrize("yes", ["--yes", "--delete"])
    def test_with_yes(self, yes: str, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        planned = parsed(capfd, "cleanup", people, "--retain", 1)
        before = files_of(people)
        assert printed(capfd, "cleanup", people, "--retain", 1, yes).startswith("removed: 1 versions, ")
        assert before.keys() - files_of(people).keys() == {file["path"] for file in planned["files"]}
        # The version with a tag stayed.
        assert [version["version"] for version in lancelet.dataset(people).versions()] == [2, 3]
        lancelet.dataset(people, tag="full").validate(read_data=True)

    def test_age_and_number(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert parsed(capfd, "cleanup", people, "--older-than", "1h")["versions"] == []
        assert parsed(capfd, "cleanup", people, "--older-than", "0s", "--retain", 3)["versions"] == []

    def test_unverified_files(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        lancelet.write_fragments(PEOPLE, people)
        assert parsed(capfd, "cleanup", people)["files"] == []
        assert main(["cleanup", str(people), "--delete-unverified", "--yes", "--json"]) == 0
        out, error = capfd.readouterr()
        assert json.loads(out)["data_files_removed"] == 1
        assert error.startswith("lancelet: warning: ")
        assert "nobody may write" in error
        lancelet.dataset(people).validate(read_data=True)

    def test_a_file_that_cannot_be_removed(
        self, people: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: object, path: str) -> None:
            raise PermissionError(13, "no", path)

        monkeypatch.setattr("lancelet.storage.LocalStore.delete", fail)
        out = printed(capfd, "cleanup", people, "--retain", 1, "--yes", code=1)
        assert "cannot be removed: _versions/" in out
        assert lancelet.dataset(people, 1).num_rows == 4

    @pytest.mark.parametrize(
        ("text", "age"),
        [
            ("0s", timedelta(0)),
            ("90m", timedelta(minutes=90)),
            ("36h", timedelta(hours=36)),
            ("14d", timedelta(14)),
            ("2w", timedelta(14)),
        ],
    )
    def test_ages(self, text: str, age: timedelta) -> None:
        assert _age(text) == age

    @pytest.mark.parametrize("text", ["14", "d", "-1d", "1.5d", "14 d", "1y", "999999999w", "\u0661d"])
    def test_no_ages(self, text: str, capfd: pytest.CaptureFixture[str]) -> None:
        assert "--older-than" in refused(capfd, 2, "cleanup", "f", f"--older-than={text}")


class TestValidate:
    def test_whole(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert printed(capfd, "validate", people) == "version 3: no problems\n"
        assert printed(capfd, "validate", people, "--data", "--tag", "full") == "version 2: no problems\n"
        assert parsed(capfd, "validate", people, "--version", 1) == {
            "path": str(people),
            "version": 1,
            "data": False,
            "problems": [],
        }

    def test_every_problem(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        files = [fragment.data_files()[0].path for fragment in lancelet.dataset(people).get_fragments()]
        (people / "data" / files[0]).unlink()
        (people / "data" / files[2]).write_bytes(b"no Lance file")
        lines = printed(capfd, "validate", people, code=1).splitlines()
        assert lines[-1] == f"version 3: {len(lines) - 1} problems"
        assert all(line.startswith("problem: ") for line in lines[:-1])
        for number in (0, 2):
            assert any(files[number] in line for line in lines)
        found = parsed(capfd, "validate", people, code=1)["problems"]
        assert [f"problem: {one['message']}" for one in found] == lines[:-1]
        assert {one["kind"] for one in found} == {"FormatError"}

    def test_damaged_values(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Bytes of pages are looked at only where that is asked for."""
        file = people / "data" / lancelet.dataset(people).get_fragment(0).data_files()[0].path  # type: ignore[union-attr]
        data = bytearray(file.read_bytes())
        data[:64] = b"\xff" * 64
        file.write_bytes(data)
        assert printed(capfd, "validate", people) == "version 3: no problems\n"
        assert "1 problem\n" in printed(capfd, "validate", people, "--data", code=1)

    def test_a_damaged_manifest(self, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        for manifest in (people / "_versions").glob("*.manifest"):
            manifest.write_bytes(manifest.read_bytes()[:-3])
        for verb in ALL:
            assert ".manifest" in refused(capfd, 1, verb, people)


class TestWrite:
    @pytest.fixture
    def inputs(self, tmp_path: Path) -> list[Path]:
        """The same four rows, two in each of two formats."""
        pq.write_table(PEOPLE.select(["id", "name"]).slice(0, 2), tmp_path / "a.parquet")
        (tmp_path / "b.csv").write_text("name,id\nBob,3\nCyd,4\n")
        return [tmp_path / "a.parquet", tmp_path / "b.csv"]

    def test_several_inputs(
        self, inputs: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        target = tmp_path / "out"
        options = ("--max-rows-per-file", 3, "--version", "2.1", "--stable-row-ids", "--message", "hello")
        text = printed(capfd, "write", *inputs, target, *options)
        assert text == "version 1: 4 rows written, 4 in the dataset\n"
        ds = lancelet.dataset(target)
        assert ds.to_table() == PEOPLE.select(["id", "name"])
        assert [fragment.count_rows() for fragment in ds.get_fragments()] == [3, 1]
        assert ds.data_storage_version == "2.1"
        assert ds.has_stable_row_ids
        assert parsed(capfd, "versions", target)[0]["message"] == "hello"

    def test_modes(self, inputs: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        target = tmp_path / "out"
        for mode, rows in (("append", 2), ("append", 4), ("overwrite", 2)):
            found = parsed(capfd, "write", inputs[0], target, "--mode", mode)
            assert (found["rows_written"], found["num_rows"]) == (2, rows)
        assert found["version"] == 3
        assert "already" in refused(capfd, 2, "write", inputs[0], target)
        assert lancelet.dataset(target).version == 3

    def test_datasets_and_files_are_inputs(
        self, people: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        ds = lancelet.dataset(people)
        file = people / "data" / ds.get_fragment(0).data_files()[0].path  # type: ignore[union-attr]
        printed(capfd, "write", people, file, tmp_path / "out", "--columns", "id")
        assert lancelet.dataset(tmp_path / "out").to_table()["id"].to_pylist() == [1, 3, 4, 5, 1, 2, 3]
        printed(capfd, "write", people, people, "--mode", "append")
        assert lancelet.dataset(people).to_table()["id"].to_pylist() == [1, 3, 4, 5] * 2

    def test_text_is_read_with_the_types_of_the_dataset(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        schema = pa.schema([("code", pa.string()), ("n", pa.int8()), ("l", pa.list_(pa.int8()))])
        lancelet.write_dataset(pa.table({"code": ["a"], "n": [1], "l": [[1]]}, schema), tmp_path / "out")
        (tmp_path / "more.csv").write_text("code,n\n007,2\n")
        printed(capfd, "write", tmp_path / "more.csv", tmp_path / "out", "--mode", "append")
        found = lancelet.dataset(tmp_path / "out").to_table().to_pylist()
        assert found == [{"code": "a", "n": 1, "l": [1]}, {"code": "007", "n": 2, "l": None}]

    def test_an_input_that_does_not_fit_leaves_nothing(
        self, inputs: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        target = tmp_path / "out"
        (tmp_path / "other.csv").write_text("id,age\n1,2\n")
        (tmp_path / "text.csv").write_text("id,name\nx,y\n")
        assert "other.csv has the columns id, age" in refused(
            capfd, 2, "write", *inputs, tmp_path / "other.csv", target
        )
        assert "text.csv" in refused(capfd, 2, "write", *inputs, tmp_path / "text.csv", target)
        assert files_of(target) == {}

    def test_wrong_use(self, inputs: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        target = tmp_path / "out"
        (tmp_path / "plain").mkdir()
        missing = tmp_path / "missing.csv"
        cases: list[tuple[int, tuple[object, ...], str]] = [
            (2, (inputs[0],), "DATASET"),
            (2, tuple(inputs), "b.csv is a file"),
            (2, (inputs[0], missing, target), f"{missing}: No such file"),
            (2, (tmp_path / "x.txt", target), "suffix"),
            (2, (tmp_path / "plain", target), "there is no dataset"),
            (2, (inputs[0], target, "--mode", "replace"), "replace"),
            (2, (inputs[0], target, "--max-rows-per-file", 0), "at least 1"),
            (2, (inputs[0], target, "--version", "2.9"), "2.9"),
            (2, (inputs[0], target, "--columns", "nothing"), "nothing"),
            (2, (inputs[1], target, "--type", "id"), "NAME=TYPE"),
        ]
        for code, arguments, words in cases:
            assert words in refused(capfd, code, "write", *arguments)
        assert not target.exists()

    def test_it_shows_progress_on_a_terminal_only(self, inputs: list[Path], tmp_path: Path) -> None:
        pytest.importorskip("rich")
        pty = pytest.importorskip("pty")
        command = [sys.executable, "-m", "lancelet.cli", "write", *map(str, inputs)]
        quiet = subprocess.run([*command, tmp_path / "one"], capture_output=True, check=True, timeout=60)
        assert quiet.stderr == b""
        master, slave = pty.openpty()
        try:
            subprocess.run(
                [*command, tmp_path / "two"], stdout=subprocess.DEVNULL, stderr=slave, check=True, timeout=60
            )
            assert b"4 rows" in os.read(master, 1 << 16)
        finally:
            os.close(master)
            os.close(slave)

    def test_a_dataset_can_be_converted(
        self, people: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert printed(capfd, "convert", people, tmp_path / "out.parquet") == ""
        assert pq.read_table(tmp_path / "out.parquet") == lancelet.dataset(people).to_table()


class TestWrongUse:
    @pytest.mark.parametrize("verb", FOR_DATASETS)
    def test_a_file(self, verb: str, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        file = next((people / "data").iterdir())
        assert refused(capfd, 2, verb, file) == f"{file} is a file; {verb} is for datasets, which are folders"

    @pytest.mark.parametrize("verb", ALL)
    def test_nothing_there(self, verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        missing = tmp_path / "missing"
        assert refused(capfd, 2, verb, missing) == f"{missing}: No such file or directory"

    @pytest.mark.parametrize("verb", ALL)
    def test_folders_without_a_dataset(
        self, verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert "is a folder and no dataset" in refused(capfd, 2, verb, tmp_path)
        (tmp_path / "_versions").mkdir()
        assert refused(capfd, 2, verb, tmp_path) == f"{tmp_path}: there is no dataset"

    @pytest.mark.parametrize("verb", ["pages", "plan"])
    def test_verbs_for_files(self, verb: str, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert "one of the files in" in refused(capfd, 2, verb, people)

    @pytest.mark.parametrize("verb", ["info", "schema", "head", "cat", "validate"])
    def test_versions_that_are_not(self, verb: str, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert "no version 77" in refused(capfd, 2, verb, people, "--version", 77)
        assert "there are 'full'" in refused(capfd, 2, verb, people, "--tag", "x")
        assert "not allowed" in refused(capfd, 2, verb, people, "--tag", "full", "--version", 1)
        assert "at least 1" in refused(capfd, 2, verb, people, "--version", 0)

    @pytest.mark.parametrize("option", [("--version", "1"), ("--tag", "a"), ("--filter", "id > 1")])
    def test_options_of_datasets(
        self, option: tuple[str, str], people: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        file = next((people / "data").iterdir())
        assert f"{option[0]} is for datasets" in refused(capfd, 2, "head", file, *option)

    @pytest.mark.parametrize("verb", ["head", "cat"])
    def test_filters_and_columns(self, verb: str, people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert "'nothing'" in refused(capfd, 2, verb, people, "--columns", "nothing")
        assert "'nothing'" in refused(capfd, 2, verb, people, "--filter", "nothing = 1")
        assert "no SQL" in refused(capfd, 2, verb, people, "--filter", "id >")

    def test_stores_that_are_not_handled(self, capfd: pytest.CaptureFixture[str]) -> None:
        for verb in ALL:
            assert "s3://" in refused(capfd, 1, verb, "s3://bucket/people")


def golden() -> list[dict[str, Any]]:
    root = golden_root() / "datasets"
    return [
        line
        for index in sorted(root.glob("index.*.jsonl"))
        for line in read_index(index)
        if line["status"] == "ok"
    ]


@pytest.mark.parametrize("line", golden(), ids=lambda line: f"{line['name']}-p{line['writer']}")
def test_golden_datasets(line: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    path = golden_root() / line["uri"]
    found = {one["version"]: one for one in parsed(capfd, "versions", path)}
    assert {int(version) for version in line["versions"]} <= found.keys()
    for version, facts in line["versions"].items():
        info = parsed(capfd, "info", path, "--version", version)
        assert info["num_rows"] == facts["rows"] == found[int(version)]["total_rows"]
        assert info["num_fragments"] == len(facts["fragments"])
        assert info["num_data_files"] == sum(fragment["files"] for fragment in facts["fragments"])
        assert info["num_deleted_rows"] == sum(fragment["deletions"] for fragment in facts["fragments"])
        assert info["storage_version"] == line["storage"]
        assert info["tags"] == line.get("tags", {})
        assert info["written_by"].startswith("lance ")
        fields = parsed(capfd, "schema", path, "--version", version)["fields"]
        assert [field["path"] for field in fields if field["parent_id"] == -1] == facts["columns"]
        assert f"version {version}: no problems" in printed(
            capfd, "validate", path, "--data", "--version", version
        )
    assert (
        len(printed(capfd, "cat", path).splitlines()) == line["versions"][str(line["latest"])]["count_rows"]
    )
    assert parsed(capfd, "cleanup", path, "--older-than", "0s")["removed"] is False
