"""The datasets of the golden corpus: what pylance wrote, version by version, and what it read of them.

The small corpus of the repository has half of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from golden_index import golden_root, read_index
from lancelet.storage import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True, slots=True)
class GoldenDataset:
    """One line of the index."""

    name: str
    writer: str
    path: Path
    expected: Path
    latest: int
    #: Version -> rows, columns, fragments.
    versions: dict[int, dict[str, Any]]

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.path)

    def addresses(self, version: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Row ids and row addresses in the order of a scan; none of a version without rows."""
        path = self.expected / f"v{version}.rowids.arrow"
        if not path.exists():
            return None
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return table["_rowid"].to_numpy(), table["_rowaddr"].to_numpy()


@functools.cache
def golden_datasets() -> tuple[GoldenDataset, ...]:
    root = golden_root()
    lines = [
        line for index in sorted((root / "datasets").glob("index.*.jsonl")) for line in read_index(index)
    ]
    return tuple(
        GoldenDataset(
            f"{line['name']}-p{line['writer']}",
            line["writer"],
            root / line["uri"],
            root / line["expected"],
            line["latest"],
            {int(version): facts for version, facts in line["versions"].items()},
        )
        for line in lines
        if line["status"] == "ok"
    )
