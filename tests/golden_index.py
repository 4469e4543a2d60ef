"""The golden corpus: files written by several releases of pylance, and the tables they must read as.

The full corpus lies in ``../shared/golden`` relative to the repository root; a clone without it uses
``tests/golden``, a small subset with the same layout. ``LANCELET_GOLDEN_DIR`` names another place.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.testing import is_flat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REPOSITORY = Path(__file__).resolve().parents[1]
SUBSET = REPOSITORY / "tests" / "golden"
FULL_CORPUS = REPOSITORY.parent / "shared" / "golden"


def golden_root() -> Path:
    """Return the directory of the corpus that the tests use."""
    if "LANCELET_GOLDEN_DIR" in os.environ:
        return Path(os.environ["LANCELET_GOLDEN_DIR"])
    return FULL_CORPUS if FULL_CORPUS.is_dir() else SUBSET


@dataclass(frozen=True, slots=True)
class GoldenFile:
    """One line of the index: a file and the table it must read as."""

    case: str
    group: str
    version: str
    writer: str
    path: Path
    expected_path: Path
    num_bytes: int
    options: dict[str, Any]
    encodings: list[Any]
    read_by: dict[str, str]

    @property
    def name(self) -> str:
        """Short unique name, used as the test's parameter."""
        return f"{self.version}-p{self.writer}-{self.case}"

    def schema(self) -> pa.Schema:
        """Schema of the expected table."""
        return _schema(self.expected_path)

    def expected(self) -> pa.Table:
        """Return the expected table; its chunks are the batches as written."""
        with pa.memory_map(str(self.expected_path)) as source:
            return pa.ipc.open_file(source).read_all()

    def columns(self, wanted: Callable[[pa.Field], bool]) -> list[str]:
        """Names of the top-level columns that satisfy a condition."""
        return [field.name for field in self.schema() if wanted(field)]


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """One line of the index of damaged files."""

    name: str
    base: str
    version: str
    defect: str
    what: str
    must_error: bool
    path: Path
    base_path: Path
    expected_path: Path


def is_flat_field(field: pa.Field) -> bool:
    """Tell whether a column has a flat type and is stored in the ordinary layouts (a blob column is not)."""
    return is_flat(field.type) and b"lance-encoding:blob" not in (field.metadata or {})


def is_any_field(field: pa.Field) -> bool:
    """Accept every column."""
    return True


def read_index(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file that holds one JSON object per line."""
    return [json.loads(line) for line in path.read_text().split("\n") if line]


@functools.cache
def golden_files(root: Path | None = None) -> tuple[GoldenFile, ...]:
    """Return the usable files (status ok) of a corpus, in the order of its indexes."""
    root = root or golden_root()
    return tuple(_file(line, root) for line in _lines(root) if line["status"] == "ok")


@functools.cache
def superseded_files() -> tuple[GoldenFile, ...]:
    """Return the files in an abandoned dialect of a version, as far as their own writer could read them."""
    root = golden_root()
    lines = (line for line in _lines(root) if line["status"] == "superseded" and "error" not in line)
    return tuple(_file(line, root) for line in lines)


def _lines(root: Path) -> list[dict[str, Any]]:
    indexes = sorted(root.glob("index.p*.jsonl"))
    return [json.loads(line) for index in indexes for line in index.read_text().splitlines()]


def _file(line: dict[str, Any], root: Path) -> GoldenFile:
    return GoldenFile(
        case=line["case"],
        group=line["group"],
        version=line["version"],
        writer=line["writer"],
        path=root / line["file"],
        expected_path=root / line["expected"],
        num_bytes=line["bytes"],
        options=line["options"],
        encodings=line.get("encodings", []),
        read_by=line.get("read_by", {}),
    )


def cases_without_file(version: str) -> set[str]:
    """Return the cases of which no release of pylance made a usable file of a version."""
    lines = [line for index in golden_root().glob("index.p*.jsonl") for line in read_index(index)]
    cases = {line["case"] for line in lines if line["version"] == version}
    return cases - {file.case for file in golden_files() if file.version == version}


def select(
    versions: Iterable[str], wanted: Callable[[pa.Field], bool] = is_flat_field, *, mixed: bool = False
) -> list[GoldenFile]:
    """Return the files of some versions whose columns are all wanted, or with ``mixed`` only some of them.

    Parameters
    ----------
    versions
        File versions, such as ``("2.1", "2.2")``.
    wanted
        Condition on a top-level field; :func:`is_any_field` takes every file.
    mixed
        Return the other files that have at least one wanted column.
    """
    chosen = []
    for file in golden_files():
        if file.version in set(versions):
            num_wanted = len(file.columns(wanted))
            num_columns = len(file.schema())
            if (0 < num_wanted < num_columns) if mixed else num_wanted == num_columns:
                chosen.append(file)
    return chosen


def damaged_files(versions: Iterable[str]) -> list[DamagedFile]:
    """Return the damaged files that were made from files of some versions."""
    directory = golden_root() / "corrupt"
    lines = [json.loads(line) for line in (directory / "index.jsonl").read_text().splitlines()]
    return [
        DamagedFile(
            name=f"{line['base']}-{line['defect']}",
            base=line["base"],
            version=line["version"],
            defect=line["defect"],
            what=line["what"],
            must_error=line["must_error"],
            path=directory.parent / line["file"],
            base_path=directory / f"{line['base']}.lance",
            expected_path=directory / f"{line['base']}.arrow",
        )
        for line in lines
        if line["version"] in set(versions)
    ]


@functools.cache
def _schema(path: Path) -> pa.Schema:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).schema
