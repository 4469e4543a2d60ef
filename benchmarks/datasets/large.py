"""A dataset that is larger than memory, compacted by copy: does memory stay flat?

The bytes of its columns come from one random block, so that making it takes as long as writing it. Twice its size is needed.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.bars import ENGINE
from benchmarks.client import EngineProcess
from benchmarks.datasets.engine import DatasetEngine, data_files
from benchmarks.engines.base import INSTALLATIONS
from benchmarks.report import text_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LARGE_BYTES = 20_000_000_000
MOST_BYTES = 300_000_000
DIMENSION = 768
FRAGMENT_ROWS = 16_384  # 50 MB: 400 fragments, and 16 files of a million rows after the compaction
BATCH_ROWS = 1024


def make_large(path: Path, num_bytes: int) -> None:
    """Write about `num_bytes` of embeddings with ids."""
    fragments = max(2, num_bytes // (FRAGMENT_ROWS * (4 * DIMENSION + 8)))
    values = np.random.default_rng(20).standard_normal((BATCH_ROWS + FRAGMENT_ROWS, DIMENSION), np.float32)
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), DIMENSION))])

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, fragments * FRAGMENT_ROWS, BATCH_ROWS):
            first = start // BATCH_ROWS % FRAGMENT_ROWS  # no two batches are the same
            block = pa.array(values[first : first + BATCH_ROWS].reshape(-1))
            vectors = pa.FixedSizeListArray.from_arrays(block, DIMENSION)
            yield pa.record_batch([pa.array(np.arange(start, start + BATCH_ROWS)), vectors], schema)

    reader = pa.RecordBatchReader.from_batches(schema, batches())
    DatasetEngine(ENGINE).write(reader, path, max_rows_per_file=FRAGMENT_ROWS)


def compact_large(folder: Path, num_bytes: int, library: Path, progress: Callable[[str], None]) -> str:
    """Compact the large dataset in a process of its own; return the text of what it took.

    Parameters
    ----------
    folder
        Where the dataset lies, ``large.lance``; it is made if it is not there. What is compacted is a copy of links.
    num_bytes
        Size of the dataset.
    library
        The compiled :mod:`benchmarks.consume`.
    progress
        Is told what happens.
    """
    path = folder / "large.lance"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        progress(f"writing {num_bytes / 1e9:g} GB to {path}")
        unfinished = folder / "unfinished.lance"
        shutil.rmtree(unfinished, ignore_errors=True)
        make_large(unfinished, num_bytes)
        unfinished.rename(path)
    files = data_files(path)
    progress(f"compacting {len(files)} fragments")
    module, arguments = "benchmarks.datasets.worker", (str(library), "1")
    with EngineProcess(INSTALLATIONS[ENGINE], module, *arguments) as process:
        if not process.ask("describe")["compacts"]:
            return f"{ENGINE} cannot compact yet"
        start = time.perf_counter()
        private, resident = process.memory_of(
            work="compact", path=path, scratch=folder / "compacted", option="force_binary_copy"
        )
        seconds = time.perf_counter() - start
    verdict = "bar" if resident <= MOST_BYTES else "MISSED"
    return text_table(
        [
            ["dataset", f"{sum(file.stat().st_size for file in files) / 1e9:.2f} GB, {len(files)} fragments"],
            ["compaction by copy", f"{seconds:.1f} s"],
            ["private memory", f"{private / 1e6:.1f} MB"],
            ["peak resident memory", f"{resident / 1e6:.1f} MB (at most {MOST_BYTES / 1e6:.0f}) {verdict}"],
        ]
    )
