"""The profile ``reference`` chooses what pylance 14.0.2 chose: every page of the flat golden files, message by message.

Compared is all that a page says of its encoding, inline values and counts included; of symbol tables, which the reference trains on
a random sample, only whether they are switched on. The reference writes what lies below nulls and looks at it when it chooses; the
golden tables still have it, so the test keeps lancelet from wiping it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import lancelet.fields.encoder
from golden_index import FULL_CORPUS, golden_files, golden_root
from lancelet import FileReader, FileWriter
from lancelet.anatomy import describe_page
from lancelet.blocks import FixedWidth
from lancelet.pb.encodings21_pb2 import PageLayout

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from golden_index import GoldenFile

GROUPS = ("primitive", "string", "compress", "dictionary")
FILES = [
    file
    for file in golden_files()
    if file.writer == "14.0.2" and file.version in ("2.1", "2.2") and file.group in GROUPS
]

SHORTER = "of an Arrow dictionary, only the items that the page uses are written"
EXPLAINED = {
    (f"{version}-p14.0.2-{case}", 0): SHORTER
    for version in ("2.1", "2.2")
    for case in ("dict_one", "dict_batches")
}
"""(file, column): why a page is not that of the reference."""


def without_symbols(message: Any) -> Any:
    """Replace symbol tables by their switch."""
    for descriptor, value in message.ListFields():
        if descriptor.name == "symbol_table":
            message.symbol_table = value[3:4]
        elif descriptor.message_type is not None:
            for part in value if descriptor.is_repeated else [value]:
                without_symbols(part)
    return message


def pages_of(path: Path) -> list[list[tuple[str, Any]]]:
    with FileReader(path) as reader:
        return [
            [
                (str(describe_page(page)), without_symbols(PageLayout.FromString(page.encoding)))
                for page in column.pages
            ]
            for column in reader.metadata()
        ]


def write_again(file: GoldenFile, path: Path) -> None:
    """Write the table of a golden file with its metadata, options and batches."""
    with FileReader(file.path) as reader:
        schema: pa.Schema = reader.schema
    options = {
        key: file.options[key] for key in ("data_cache_bytes", "max_page_bytes") if key in file.options
    }
    with FileWriter(path, schema, version=file.version, profile="reference", **options) as writer:
        for batch in file.expected().cast(schema).to_batches():
            writer.write_batch(batch)


@pytest.fixture
def hidden_values_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    wiping = lancelet.fields.encoder.to_block

    def keeping(array: pa.Array, valid: Any) -> Any:
        block = wiping(array, None)
        return block if isinstance(block, FixedWidth) else wiping(array, valid)

    monkeypatch.setattr(lancelet.fields.encoder, "to_block", keeping)


@pytest.mark.usefixtures("hidden_values_stay")
def test_pages_agree_with_the_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    differing = {}
    for file in FILES:
        path = tmp_path / "again.lance"
        write_again(file, path)
        for column, (theirs, ours) in enumerate(zip(pages_of(file.path), pages_of(path), strict=True)):
            counts["pages"] += len(theirs)
            counts["agree"] += sum(a[1] == b[1] for a, b in zip(theirs, ours, strict=False))
            if [page[1] for page in theirs] != [page[1] for page in ours]:
                differing[file.name, column] = [page[0] for page in theirs], [page[0] for page in ours]
    with capsys.disabled():
        print(
            f"\nprofile reference: {counts['agree']} of {counts['pages']} pages as pylance 14.0.2 wrote them"
        )
    compared = {file.name for file in FILES}
    assert set(differing) == {place for place in EXPLAINED if place[0] in compared}, differing
    if golden_root() == FULL_CORPUS:
        assert counts["pages"] > 1000
