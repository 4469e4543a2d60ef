"""What a run reports of its samples."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from benchmarks.bars import BARS, Bar
from benchmarks.footprint import footprints_table
from benchmarks.machine import describe_machine
from benchmarks.operations import OPERATIONS, Quantity
from benchmarks.picture import ratios_svg
from benchmarks.report import quantity_text, report_text, text_table
from benchmarks.samples import Results, Sample
from benchmarks.workloads import WORKLOADS


@pytest.fixture
def results() -> Results:
    values = {
        ("scan", "lancelet"): (1.0, 9.0, 2.0),
        ("scan", "pylance"): (2.0, 10.0, 4.0),
        ("pylance_scan", "lancelet"): (4.0, 10.0, 8.0),
        ("scan", "parquet"): (20.0, 100.0, 40.0),
        ("take1", "lancelet"): (0.0002,),
    }
    samples = [
        Sample("taxi", operation, engine, number, value)
        for (operation, engine), rounds in values.items()
        for number, value in enumerate(rounds)
    ]
    versions = {"lancelet": {"version": "1", "file_version": "2.2"}}
    return Results(describe_machine(), 1.0, samples, ["vortex is not installed"], versions)


def test_ratios_are_built_within_a_round(results: Results) -> None:
    assert results.ratio("taxi", "scan", "lancelet", "pylance") == 0.5
    assert results.ratio("taxi", "take1", "lancelet", "pylance") is None


def test_files_of_pylance_are_compared_with_pylances_own_time(results: Results) -> None:
    assert results.ratio("taxi", "pylance_scan", "lancelet", "pylance") == 2.0


def test_the_report_has_ratios_bars_medians_and_problems(results: Results) -> None:
    text = report_text(results)
    assert "0.50 (0.8/0.4) bar" in text
    assert "2.00 (1/1) MISSED" in text
    assert "2.00 s   0.50x" in text
    assert "10.00x" in text
    assert text.endswith("vortex is not installed")


def test_json_holds_all(results: Results) -> None:
    report = json.loads(json.dumps(results.as_json()))
    assert Results.from_json(report) == results


def test_the_picture_is_xml(results: Results) -> None:
    root = ElementTree.fromstring(ratios_svg(results))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "0.50" in texts
    assert "scan, streamed" in texts


def test_bars_are_of_known_operations_and_tables() -> None:
    rows = {name for operation in OPERATIONS.values() for name in operation.rows}
    assert {operation for operation, _ in BARS} <= rows
    assert {workload for _, workload in BARS} == set(WORKLOADS)


@pytest.mark.parametrize(("ratio", "verdict"), [(0.4, "aim"), (0.41, "bar"), (0.8, "bar"), (0.81, "MISSED")])
def test_verdicts(ratio: float, verdict: str) -> None:
    assert Bar(0.8, 0.4).verdict(ratio) == verdict


def test_quantities() -> None:
    assert quantity_text(1.5, Quantity.SECONDS) == "1.50 s"
    assert quantity_text(0.0015, Quantity.SECONDS) == "1.5 ms"
    assert quantity_text(0.00015, Quantity.SECONDS) == "150 us"
    assert quantity_text(1_500_000, Quantity.MEMORY) == "1.5 MB"


def test_columns_are_aligned() -> None:
    assert text_table([["", "a"], ["row", "10"]]) == "      a\nrow  10"


def test_footprints() -> None:
    def footprint(seconds: float, alone: int) -> dict[str, object]:
        return {
            "import_seconds": [seconds, 2 * seconds],
            "first_read_seconds": [1.0, 1.0],
            "packaged": True,
            "alone_bytes": alone,
            "total_bytes": 250_000_000,
        }

    table = text_table(
        footprints_table({"lancelet": footprint(0.09, 6_000_000), "pylance": footprint(0.1, 225_000_000)})
    )
    assert "0.90 (1/0.85) bar" in table
    assert "6.0 MB (5 MB) MISSED" in table
