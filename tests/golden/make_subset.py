"""Choose the subset of the golden corpus that is kept in this directory, and copy it here.

A file is worth keeping for each feature that no smaller file has: a column type with or without nulls, a page encoding (numbers
left out), an encoding hint; each for each file version and release. Of the datasets those of small recipes are kept. Run with the
corpus at hand:

    python tests/golden/make_subset.py
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from golden_index import FULL_CORPUS, GoldenFile, golden_files, is_flat_field  # noqa: E402

VERSIONS = ("2.1", "2.2")
BUDGET_BYTES = 1_600_000
"""For files and tables; the damaged files and the datasets come on top."""
RECIPES = ("append", "columns", "delete_array", "delete_bitmap", "empty", "stable_row_ids", "versions")
"""Datasets that are kept: less than a megabyte."""


def features(file: GoldenFile) -> set[tuple[object, ...]]:
    """Return what a file shows."""
    expected = file.expected()
    if not all(map(is_flat_field, expected.schema)):
        return {(file.version, "flat columns beside others")}
    types = {(str(column.type), column.null_count > 0) for column in expected.columns}
    encodings = {re.sub(r"\d+", "N", encoding) for column in file.encodings for encoding, _ in column}
    hints = {
        (key, value)
        for field in expected.schema
        for key, value in (field.metadata or {}).items()
        if len(value) < 32
    }
    key = (file.version, file.writer)
    pages = (
        {("several pages",)} if any(count > 1 for column in file.encodings for _, count in column) else set()
    )
    return {(*key, feature) for feature in types | hints | pages} | {
        (file.version, encoding) for encoding in encodings
    }


def choose(files: list[GoldenFile]) -> list[GoldenFile]:
    """Take the file with the most new features per byte until the budget is used or nothing is new."""
    remaining = {file.name: (file, features(file)) for file in files}
    seen: set[tuple[object, ...]] = set()
    chosen: list[GoldenFile] = []
    used = 0
    tables: set[Path] = set()

    def cost(file: GoldenFile) -> int:
        table_bytes = 0 if file.expected_path in tables else file.expected_path.stat().st_size
        return file.num_bytes + table_bytes + 1500  # and the line of the index

    while remaining:
        name = max(remaining, key=lambda name: len(remaining[name][1] - seen) / cost(remaining[name][0]))
        file, shown = remaining.pop(name)
        if not shown - seen:
            break
        if used + cost(file) <= BUDGET_BYTES:
            used += cost(file)
            seen |= shown
            tables.add(file.expected_path)
            chosen.append(file)
    return chosen


def main() -> None:
    """Replace the subset in this directory."""
    for directory in ("files", "expected", "corrupt", "datasets"):
        shutil.rmtree(HERE / directory, ignore_errors=True)
    usable = [
        file
        for file in golden_files(FULL_CORPUS)
        if file.version in VERSIONS and any(map(is_flat_field, file.schema()))
    ]
    chosen = choose(usable)
    for path in {path for file in chosen for path in (file.path, file.expected_path)}:
        target = HERE / path.relative_to(FULL_CORPUS)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    kept = {str(file.path.relative_to(FULL_CORPUS)) for file in chosen}
    for index in sorted(FULL_CORPUS.glob("index.p*.jsonl")):
        lines = [
            line for line in index.read_text().split("\n") if line and json.loads(line).get("file") in kept
        ]
        if lines:
            (HERE / index.name).write_text("\n".join(lines) + "\n")
    (HERE / "corrupt").mkdir()
    for path in (FULL_CORPUS / "corrupt").iterdir():
        shutil.copyfile(path, HERE / "corrupt" / path.name)
    keep_datasets()


def keep_datasets() -> None:
    """Copy the datasets of :data:`RECIPES`, what they must read as, and their lines of the index."""
    (HERE / "datasets").mkdir()
    for index in sorted((FULL_CORPUS / "datasets").glob("index.p*.jsonl")):
        lines = [
            line for line in index.read_text().split("\n") if line and json.loads(line)["recipe"] in RECIPES
        ]
        (HERE / "datasets" / index.name).write_text("\n".join(lines) + "\n")
        for folder in (json.loads(line)[key] for line in lines for key in ("uri", "expected")):
            shutil.copytree(FULL_CORPUS / folder, HERE / folder, copy_function=shutil.copyfile)


if __name__ == "__main__":
    main()
