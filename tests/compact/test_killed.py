"""Compactions that are killed: the dataset reads as before or as after, and clean-up finds what is left."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import lancelet
from compact_jobs import data_files, kept, made
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import sys
import lancelet
from lancelet.compact.run import compact_files
dataset = lancelet.dataset(sys.argv[1])
print("begun", flush=True)
compact_files(dataset, compaction_mode=sys.argv[2], target_rows_per_fragment=30_000)
print("done", flush=True)
"""


@pytest.mark.parametrize("seed", range(sample_or_full(3, 30)))
def test_sigkill(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    mode = ["reencode", "hybrid", "try_binary_copy"][seed % 3]
    ds = made(tmp_path / "dataset", [3000] * 30, stable=chance.random() < 0.5)
    before, version = kept(ds), ds.version
    child = subprocess.Popen([sys.executable, "-c", CODE, ds.uri, mode], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        time.sleep(chance.random() ** 2 * 0.3)
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
    latest = lancelet.dataset(tmp_path / "dataset")
    assert kept(latest) == before
    latest.validate(read_data=True)
    assert latest.version in (version, version + 1, version + 2)
    is_done = len(latest.manifest.fragments) < 30
    assert is_done or not rest
    latest.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    named = {f"data/{file.path}" for found in latest.manifest.fragments for file in found.files}
    assert data_files(latest) == named
    assert kept(latest) == before
