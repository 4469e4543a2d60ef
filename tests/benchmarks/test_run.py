"""A whole run on a few rows: engines in their processes, every operation, the report. No time is judged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import measure
from benchmarks.__main__ import main
from benchmarks.client import Client, EngineError
from benchmarks.consume import build
from benchmarks.engines.base import INSTALLATIONS, Installation
from benchmarks.operations import OPERATIONS, Job
from benchmarks.workloads import WORKLOADS, read_source
from oracle import oracle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WORKLOADS["nested"].source(tmp_path_factory.mktemp("tables"), 0.0005)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("library"))


def test_everything_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracle("14.0.2")  # is installed, or says what to do
    report, picture = tmp_path / "report.json", tmp_path / "picture.svg"
    options = ["--files", "--rounds", "1", "--scale", "0.0005", "--imports", "1", "--workloads", "nested"]
    main([*options, "--dir", str(tmp_path / "work"), "--json", str(report), "--svg", str(picture)])
    printed = capsys.readouterr()
    found = json.loads(report.read_text())
    assert found["problems"] == [], printed.err
    measured = {(group["operation"], group["engine"]) for group in found["measurements"]}
    for operation in OPERATIONS.values():
        engines = ["lancelet"] if operation.by_pylance else ["lancelet", "pylance"]
        if operation.suits(1000):
            assert {(name, engine) for name in operation.rows for engine in engines} <= measured
    assert found["versions"]["pylance"] == {"version": "14.0.2", "file_version": "2.2"}
    assert found["footprints"]["lancelet"]["import_seconds"]
    assert "open + row count" in printed.out
    assert picture.read_text().startswith("<svg")
    assert sorted(path.suffix for path in (tmp_path / "work").iterdir()) == [".arrow", ".so"]
    main(["--show", str(report)])
    assert capsys.readouterr().out == printed.out


def test_a_missing_engine_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Installation("vortex", "vortex_file", "Vortex", "vortex", "vortex-data", tmp_path / "none")
    monkeypatch.setitem(INSTALLATIONS, "vortex", nowhere)
    options = ["--files", "--engines", "vortex", "--workloads", "wide", "--scale", "0.01", "--imports", "0"]
    assert main([*options, "--dir", str(tmp_path)]) == 0
    assert "vortex is not installed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["lancelet", "parquet"])
def test_wrong_values_are_found(name: str, source: Path, library: Path, tmp_path: Path) -> None:
    other = WORKLOADS["nested"].source(tmp_path, 0.0001)
    with Client(INSTALLATIONS[name], "nested", other, library) as client:
        client.ask("run", work="write", path=tmp_path / "short")
        client.ask("check_values", path=tmp_path / "short")
    with Client(INSTALLATIONS[name], "nested", source, library) as client:
        with pytest.raises(EngineError):
            client.ask("check_values", path=tmp_path / "short")
        with pytest.raises(EngineError, match="200 rows read, 1000 written"):
            client.ask("run", work="scan", path=tmp_path / "short")


def test_a_dead_engine_is_an_engine_error(source: Path, tmp_path: Path) -> None:
    with (
        Client(INSTALLATIONS["parquet"], "nested", source, tmp_path / "no library") as client,
        pytest.raises(EngineError, match="no library"),
    ):
        client.ask("describe")


def test_taken_rows_are_the_same_for_all_and_others_each_time(source: Path) -> None:
    def rows(round_number: int) -> list[list[int]]:
        nothing: object = None
        job = Job(
            nothing,  # type: ignore[arg-type]
            nothing,  # type: ignore[arg-type]
            WORKLOADS["nested"],
            read_source(source),
            source,
            round_number,
            num_taken=10,
        )
        return job.rows(3)

    assert rows(1) == rows(1) != rows(2)
    assert len({tuple(taken) for taken in rows(1)}) == 4
    assert all(taken == sorted(set(taken)) and len(taken) == 10 for taken in rows(1))


def test_the_page_cache_is_emptied_and_filled(source: Path) -> None:
    measure.write_back(source)
    measure.drop_from_cache(source)  # a file system in memory keeps it: what stays is not judged here
    measure.read_into_cache(source)
    assert measure.cached_share(source) == 1.0


def test_repetitions_end_with_the_time() -> None:
    assert measure.timed(lambda _: None, 5, 10.0).repetitions == 5
    assert measure.timed(lambda _: None, 5, 0.0).repetitions == 1
