"""``lancelet plan``."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

import lancelet
from lancelet.cli import main


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "a.lance"
    with lancelet.FileWriter(path) as writer:
        writer.write_table(pa.table({"n": list(range(5000)), "s": [f"text {i}" for i in range(5000)]}))
    return str(path)


def test_single_rows(path, capsys):
    assert main(["plan", path, "--columns", "n", "--rows", "5,100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["column", "page", "layout", "rows", "wanted", "bytes"]
    assert lines[1].split()[:5] == ["n", "0", "mini_block", "5,000", "5,"]
    assert lines[2].startswith("2 rows, ")


@pytest.mark.parametrize(
    ("rows", "num_rows"), [("100:200", 100), ("4990:9000", 10), (":", 5000), ("9000:", 0)]
)
def test_ranges(path, rows, num_rows, capsys):
    assert main(["plan", path, "--rows", rows, "--json", "--no-mmap"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_rows"] == num_rows
    assert [column["name"] for column in found["columns"]] == ["n", "s"]
    assert sum(request["size"] for request in found["requests"]) >= found["num_bytes"]


@pytest.mark.parametrize("rows", ["5,", "x", "5000", "-1"])
def test_rows_that_are_none(path, rows, capsys):
    try:
        code = main(["plan", path, f"--rows={rows}"])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert "error" in capsys.readouterr().err
