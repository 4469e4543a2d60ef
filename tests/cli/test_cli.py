"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from lancelet import FileReader, FileWriter
from lancelet.cli import main

FILES = Path(__file__).parent / "files"
VERBS = ("info", "schema", "pages", "head", "cat", "convert")
EVERY_VERB = (*VERBS, "plan", "write", "versions", "validate", "compact", "cleanup")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.lance"
    table = pa.table(
        {
            "id": [1, 2, 3],
            "name": ["Ada", None, "x" * 60],
            "score": [3.5, None, float("nan")],
            "blob": [b"\x00\xff", None, b""],
        }
    )
    with FileWriter(path) as writer:
        writer.write_table(table)
    return path


def lancelet(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lancelet.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Run a command that must fail; return the one line that it says."""
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        found = stop.code
    out, error = capsys.readouterr()
    assert found == code
    assert out == ""
    assert error.startswith("lancelet: error: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    return error


class TestHead:
    def test_table(self, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["head", str(people)]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "id  name                                      score  blob",
            " 1  Ada                                         3.5  00ff",
            " 2  null                                       null  null",
            f" 3  {'x' * 39}…    nan",
        ]

    def test_some_rows_and_columns(self, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["head", str(people), "-n", "1", "--columns", "score,id"]) == 0
        assert capsys.readouterr().out.splitlines() == ["score  id", "  3.5   1", "1 of 3 rows"]

    def test_json(self, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["head", str(people), "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["id"] for row in rows] == [1, 2, 3]
        assert rows[2] == {"id": 3, "name": "x" * 60, "score": "NaN", "blob": ""}

    def test_no_rows(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with FileWriter(tmp_path / "empty.lance", pa.schema([("a", pa.int8())])):
            pass
        assert main(["head", str(tmp_path / "empty.lance")]) == 0
        assert capsys.readouterr().out == "a\n"
        assert main(["head", str(tmp_path / "empty.lance"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == []

    def test_text_cannot_steer_a_terminal(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with FileWriter(tmp_path / "odd.lance") as writer:
            writer.write_table(pa.table({"a\x1b[2J": ["\x1b[31mred", "two\nlines"]}))
        assert main(["head", str(tmp_path / "odd.lance")]) == 0
        assert capsys.readouterr().out.splitlines() == [r"a\x1b[2J", r"\x1b[31mred", r"two\nlines"]


class TestCat:
    def test_json_lines(self, people: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        assert main(["cat", str(people), "--rows", ":2"]) == 0
        assert capfdbinary.readouterr().out.splitlines() == [
            b'{"id": 1, "name": "Ada", "score": 3.5, "blob": "AP8="}',
            b'{"id": 2, "name": null, "score": null, "blob": null}',
        ]

    def test_csv(self, people: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        assert main(["cat", str(people), "--format", "csv", "--columns", "blob,score,id"]) == 0
        expected = b'"blob","score","id"\n"00ff",3.5,1\n,,2\n"",nan,3\n'
        assert capfdbinary.readouterr().out == expected

    def test_csv_behind_other_text(self, people: Path, tmp_path: Path) -> None:
        command = (
            f"(echo first; {sys.executable} -m lancelet.cli cat {people} --format csv --columns id) > out"
        )
        subprocess.run(["/bin/sh", "-c", command], check=True, cwd=tmp_path)
        assert (tmp_path / "out").read_text() == 'first\n"id"\n1\n2\n3\n'

    @pytest.mark.parametrize(
        ("rows", "ids"),
        [
            ("0:3", [1, 2, 3]),
            (":", [1, 2, 3]),
            ("1:", [2, 3]),
            ("1:2", [2]),
            ("2:99", [3]),
            ("3:", []),
            ("2:1", []),
        ],
    )
    def test_rows(self, rows: str, ids: list[int], people: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["cat", str(people), "--rows", rows]) == 0
        assert [json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()] == ids

    def test_a_closed_pipe_is_quiet(self, tmp_path: Path) -> None:
        path = tmp_path / "long.lance"
        with FileWriter(path) as writer:
            writer.write_table(pa.table({"n": range(500_000)}))
        for format_ in ("csv", "jsonl"):
            command = [sys.executable, "-m", "lancelet.cli", "cat", str(path), "--format", format_]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                process.stdout.read(10)
                process.stdout.close()
                assert process.stderr.read() == b""
                assert process.wait(timeout=60) == 0


class TestConvert:
    def test_it_is_quiet_in_a_pipe(self, people: Path, tmp_path: Path) -> None:
        run = lancelet("convert", people, tmp_path / "people.csv", "--columns", "id,name")
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
        options = ("--type", "id=string", "--null", "Ada", "--batch-size", "1", "--version", "2.1")
        run = lancelet("convert", tmp_path / "people.csv", tmp_path / "back.lance", *options)
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
        back = FileReader(tmp_path / "back.lance")
        assert back.version.text == "2.1"
        assert back.read_all().to_table().to_pydict() == {
            "id": ["1", "2", "3"],
            "name": ["Ada", "", "x" * 60],
        }

    def test_it_does_not_overwrite(
        self, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        target = tmp_path / "out.parquet"
        target.write_bytes(b"mine")
        assert "exists already" in fails(capsys, 2, "convert", people, target)
        assert target.read_bytes() == b"mine"
        assert main(["convert", str(people), str(target), "--overwrite"]) == 0
        assert target.read_bytes() != b"mine"

    def test_a_progress_bar_on_a_terminal(self, people: Path, tmp_path: Path) -> None:
        pytest.importorskip("rich")
        pty = pytest.importorskip("pty")
        master, slave = pty.openpty()
        try:
            command = [
                sys.executable,
                "-m",
                "lancelet.cli",
                "convert",
                str(people),
                str(tmp_path / ("long" * 20) / "out.csv"),
            ]
            (tmp_path / ("long" * 20)).mkdir()
            subprocess.run(command, stderr=slave, check=True, timeout=60)
            assert b"3 rows" in read_waiting(master)
        finally:
            os.close(master)
            os.close(slave)


def read_waiting(descriptor: int) -> bytes:
    """Return everything that a terminal holds; one read gives a part of it."""
    pieces = []
    while select.select([descriptor], [], [], 0.1)[0]:
        pieces.append(os.read(descriptor, 1 << 16))
    return b"".join(pieces)


class TestTerminal:
    @pytest.mark.parametrize("verb", ["head", "schema", "pages"])
    def test_tables(self, verb: str, people: Path) -> None:
        pytest.importorskip("rich")
        pty = pytest.importorskip("pty")
        master, slave = pty.openpty()
        try:
            environment = {**os.environ, "COLUMNS": "120", "TERM": "dumb"}
            command = [sys.executable, "-m", "lancelet.cli", verb, str(people)]
            subprocess.run(command, stdout=slave, check=True, timeout=60, env=environment)
            found = read_waiting(master).decode()
        finally:
            os.close(master)
            os.close(slave)
        assert "───" in found
        assert "score" in found


class TestWrongUse:
    @pytest.mark.parametrize("verb", VERBS[:-1])
    def test_a_missing_file(self, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        missing = tmp_path / "missing.lance"
        assert fails(capsys, 2, verb, missing) == f"lancelet: error: {missing}: No such file or directory\n"

    @pytest.mark.parametrize("suffix", [".lance", ".parquet", ".csv", ".arrow"])
    def test_a_missing_input(self, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        missing = tmp_path / f"missing{suffix}"
        assert str(missing) in fails(capsys, 2, "convert", missing, tmp_path / "out.lance")

    @pytest.mark.parametrize("target", ["out.lance", "out.parquet"])
    def test_a_missing_directory(
        self, target: str, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "No such file or directory" in fails(capsys, 2, "convert", people, tmp_path / "no" / target)

    def test_a_directory(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for verb in VERBS[:-1]:
            expected = f"lancelet: error: {tmp_path} is a folder and no dataset: it has no _versions\n"
            assert fails(capsys, 2, verb, tmp_path) == expected

    @pytest.mark.parametrize("verb", ["pages", "head", "cat"])
    def test_an_unknown_column(self, verb: str, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "nothing" in fails(capsys, 2, verb, people, "--columns", "id,nothing")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "VERB"),
            (("nonsense",), "nonsense"),
            (("info",), "PATH"),
            (("pages",), "FILE"),
            (("info", "a", "b"), "unrecognized arguments: b"),
            (("head", "f", "-n", "0"), "at least 1"),
            (("head", "f", "-n", "x"), "'x' is no number of rows"),
            (("head", "f", "--columns", "a,,b"), "empty name"),
            (("cat", "f", "--rows", "5"), "START:STOP"),
            (("cat", "f", "--rows", "-1:5"), "--rows"),
            (("cat", "f", "--format", "xml"), "xml"),
            (("convert", "f"), "OUT"),
            (("convert", "f.lance", "f"), "suffix"),
            (("convert", "f.lance", "f.csv", "--type", "x"), "NAME=TYPE"),
            (("convert", "f.lance", "f.csv", "--type", "x=y"), "'y'"),
        ],
    )
    def test_arguments(
        self, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert words in fails(capsys, 2, *arguments)


class TestBadData:
    @pytest.mark.parametrize("verb", VERBS[:-1])
    @pytest.mark.parametrize("content", [b"", b"x" * 39, b"x" * 5000])
    def test_no_lance_file(
        self, verb: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "odd.lance"
        path.write_bytes(content)
        assert str(path) in fails(capsys, 1, verb, path)

    def test_a_version_that_cannot_be_read(self, capsys: pytest.CaptureFixture[str]) -> None:
        path = FILES / "v2.3" / "globalbuf.lance"
        for verb in ("cat", "head"):
            assert "2.3 as of pylance 14 (PlanarLayout)" in fails(capsys, 1, verb, path)


@pytest.mark.parametrize("verb", ["info", "head", "cat"])
def test_a_closed_standard_output(verb: str, people: Path) -> None:
    command = f"exec {sys.executable} -m lancelet.cli {verb} {people} >&-"
    run = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, "lancelet: error: there is no standard output\n")


class TestHelp:
    @pytest.mark.parametrize("verb", EVERY_VERB)
    def test_each_verb_has_an_example(self, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0
        assert f"  lancelet {verb} " in capsys.readouterr().out

    def test_all_verbs_are_listed(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--help"])
        out = capsys.readouterr().out
        for verb in EVERY_VERB:
            assert f"\n    {verb} " in out

    def test_all_verbs_are_documented(self, repository_root: Path) -> None:
        page = (repository_root / "docs" / "cli.md").read_text()
        assert sorted(re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)) == sorted(EVERY_VERB)

    @pytest.mark.parametrize("verb", EVERY_VERB)
    def test_which_verbs_print_json(self, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert ("--json" in capsys.readouterr().out) == (verb not in ("cat", "convert"))

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--version"])
        assert capsys.readouterr().out.startswith("lancelet ")


def test_nothing_heavy_is_imported_before_the_arguments_are_parsed() -> None:
    program = "import sys, lancelet.cli\ntry: lancelet.cli.main(['--help'])\nexcept SystemExit: pass\n"
    program += "print(*sys.modules, file=sys.stderr, sep='\\n')"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"pyarrow", "numpy", "google.protobuf", "rich"} & set(run.stderr.split())
