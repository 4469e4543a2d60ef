"""The examples run, in an empty directory, and without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lancelet

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_dataset(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", EXAMPLES / "dataset.py", tmp_path / "weather"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert "left are versions 7, 12" in run.stdout
    dataset = lancelet.dataset(tmp_path / "weather")
    assert dataset.version == 12
    assert dataset.count_rows() == 1750
    assert dataset.to_table(filter="id = 2399").to_pylist() == [
        {"id": 2399, "city": "Hanoi", "celsius": None, "is_freezing": None}
    ]
