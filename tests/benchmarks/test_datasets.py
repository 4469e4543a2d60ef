"""A run of the dataset scenarios on a few rows, and what is reported of it. No time is judged."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from benchmarks.__main__ import main
from benchmarks.consume import build
from benchmarks.datasets import engine as engines
from benchmarks.datasets.large import compact_large
from benchmarks.datasets.recipes import RECIPES
from benchmarks.datasets.report import row_ratio
from benchmarks.datasets.scenarios import BROAD, GROUP, SCENARIOS, SELECTIVE, Row
from benchmarks.machine import describe_machine
from benchmarks.operations import Quantity
from benchmarks.report import report_text
from benchmarks.samples import Results, Sample
from benchmarks.workloads import WORKLOADS, read_source
from oracle import oracle
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SCALE = 0.0002
#: Of each kind one.
SOME = (
    "append",
    "append_unsynced",
    "open_versions",
    "pylance_open_versions",
    "filter_1",
    "take_first",
    "copy_vectors",
    "raw_copy_vectors",
    "plain_copy_vectors",
)


def test_scenarios_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracle("14.0.2")  # is installed, or says what to do
    report, picture = tmp_path / "report.json", tmp_path / "picture.svg"
    options = ["--datasets", "--scenarios", ",".join(sample_or_full(SOME, tuple(SCENARIOS)))]
    options += ["--rounds", "1", "--scale", str(SCALE), "--imports", "0"]
    files = ["--dir", str(tmp_path / "work"), "--json", str(report), "--svg", str(picture)]
    assert main([*options, *files]) == 0
    printed = capsys.readouterr()
    found = json.loads(report.read_text())
    compacts = engines.DatasetEngine("lancelet").compacts
    assert [problem for problem in found["problems"] if "compaction is left out" not in problem] == []
    assert bool(found["problems"]) != compacts
    measured = {(group["operation"], group["engine"]) for group in found["measurements"]}
    for scenario in map(SCENARIOS.get, sample_or_full(SOME, tuple(SCENARIOS))):
        assert scenario is not None
        if compacts or not scenario.compacts:
            assert {(row.name, engine) for row in scenario.rows for engine in scenario.engines} <= measured
    assert "1,000 tiny appends" in printed.out
    assert "datasets" in picture.read_text()
    main(["--show", str(report)])
    assert capsys.readouterr().out == printed.out


def test_filters_find_what_they_are_meant_to(tmp_path: Path) -> None:
    """The seeds decide: one row of a hundred, and two of three."""
    recipe, lancelet = RECIPES["trips"], engines.DatasetEngine("lancelet")
    path = tmp_path / "trips.lance"
    recipe.make(lancelet, path, recipe.source(tmp_path, 0.002), 0.002)
    dataset = lancelet.open(path)
    total = dataset.count_rows()
    assert total == recipe.num_rows(0.002) == 20_000
    assert len(engines.data_files(path)) == 200
    assert 0.005 < dataset.count_rows(SELECTIVE) / total < 0.02
    assert 0.6 < dataset.count_rows(BROAD) / total < 0.75


def test_recipes_hold_the_first_rows_of_their_table(tmp_path: Path) -> None:
    recipe, lancelet = RECIPES["vectors"], engines.DatasetEngine("lancelet")
    source = recipe.source(tmp_path, 0.001)
    assert source is not None
    recipe.make(lancelet, tmp_path / "vectors.lance", source, 0.001)
    first = next(WORKLOADS["emb"].batches(0.001))
    assert read_source(source)[0].equals(first)
    found = lancelet.open(tmp_path / "vectors.lance").to_table()
    assert found.num_rows == recipe.num_rows(0.001) == 200
    assert found.slice(0, 100).to_pydict() == first.slice(0, 100).to_pydict()


def test_a_copy_of_links_leaves_the_dataset_alone(tmp_path: Path) -> None:
    lancelet, recipe = engines.DatasetEngine("lancelet"), RECIPES["appends"]
    recipe.make(lancelet, tmp_path / "a", None, 0.02)
    engines.link_copy(tmp_path / "a", tmp_path / "b")
    assert lancelet.open(tmp_path / "b").count_rows() == recipe.num_rows(0.02)
    recipe.make(lancelet, tmp_path / "c", None, 0.02)
    lancelet.write(lancelet.open(tmp_path / "c").to_table(), tmp_path / "b", mode="append")
    assert lancelet.open(tmp_path / "a").count_rows() == recipe.num_rows(0.02)
    assert lancelet.open(tmp_path / "b").count_rows() == 2 * recipe.num_rows(0.02)


def test_the_disk_is_waited_for_again_afterwards() -> None:
    fsync = os.fsync
    with engines.without_sync():
        assert os.fsync is not fsync
    assert os.fsync is fsync


def test_rows_compare_with_what_they_name() -> None:
    values = {"append": (3.0, 1.0), "plain_copy_trips": (4.0, None), "raw_copy_trips": (2.0, None)}
    samples = [
        Sample(GROUP, name, engine, 0, value)
        for name, both in values.items()
        for engine, value in zip(("lancelet", "pylance"), both, strict=True)
        if value is not None
    ]
    results = Results(describe_machine(), 1.0, samples)
    text = report_text(results)
    assert row_ratio(results, Row("append", "")) == 3.0
    (missed,) = [line for line in text.splitlines() if line.startswith("1,000 tiny appends ")]
    assert "3.00" in missed
    assert "MISSED" in missed
    (copied,) = [line for line in text.splitlines() if "the same by the raw copy" in line]
    assert "2.00" in copied
    assert "bar" in copied
    limited = Row("raw_copy_trips", "", Quantity.MEMORY, most=1.0)
    assert limited.other == ("raw_copy_trips", "pylance")


def test_the_large_dataset_is_made_once_and_compacted(tmp_path: Path) -> None:
    library, told = build(tmp_path), list[str]()
    for _ in range(2):
        text = compact_large(tmp_path / "large", 2, library, told.append)
    assert sum(line.startswith("writing") for line in told) == 1
    if engines.DatasetEngine("lancelet").compacts:
        assert "peak resident memory" in text
    else:
        assert text == "lancelet cannot compact yet"
    assert [path.name for path in (tmp_path / "large").iterdir()] == ["large.lance"]
