"""Sizes of columns and of files, over files of every version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from golden_index import golden_files
from lancelet.anatomy import column_sizes, summarise
from lancelet.errors import OptionError
from lancelet.storage import open_source

if TYPE_CHECKING:
    from pathlib import Path

FILES = [file for file in golden_files() if file.group in ("string", "nested", "schema")]


@pytest.fixture
def nested(repository_root: Path) -> Path:
    return repository_root / "tests" / "cli" / "files" / "v2.2" / "names_nested.lance"


def test_a_source_of_the_user_stays_open(nested: Path) -> None:
    with open_source(nested) as source:
        assert summarise(source) == summarise(nested)
        assert column_sizes(source) == column_sizes(nested)
        assert source.read(0, 1).nbytes == 1


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2", "2.3"])
def test_sizes_add_up(version: str) -> None:
    files = [file for file in FILES if file.version == version]
    if not files:
        pytest.skip(f"the corpus has no such files of version {version} here")
    for file in files:
        summary, sizes = summarise(file.path), column_sizes(file.path)
        assert sum(size.encoded_bytes for size in sizes) == summary.data_bytes, file.name
        assert sum(size.num_pages for size in sizes) == summary.num_pages, file.name
        assert len(sizes) == summary.num_columns, file.name
        parts = (
            summary.data_bytes,
            summary.metadata_bytes,
            summary.padding_bytes,
            *summary.global_buffer_bytes,
        )
        assert sum(parts) == summary.file_bytes == file.path.stat().st_size, file.name


def test_a_nested_file(nested: Path) -> None:
    sizes = column_sizes(nested)
    assert [size.path for size in sizes] == ["s.in", "s.läst.item", "s.x y", "lst.element", "lst2.my item"]
    text = sizes[1]
    assert text.type == "string"
    assert text.encodings == ("mini-block variable(32)",)
    assert text.num_values > 60
    assert text.bits_per_value == 8 * text.encoded_bytes / text.num_values
    assert text.file_share == text.encoded_bytes / nested.stat().st_size


def test_chosen_columns(nested: Path) -> None:
    assert [size.path for size in column_sizes(nested, ["s"])] == ["s.in", "s.läst.item", "s.x y"]
    assert [size.path for size in column_sizes(nested, ["lst.element", "s.in"])] == ["s.in", "lst.element"]
    with pytest.raises(OptionError, match=r"no column .nothing.; it has s, s\.in"):
        column_sizes(nested, ["nothing"])


def test_bytes_in_memory(nested: Path) -> None:
    assert column_sizes(nested.read_bytes()) == column_sizes(nested)
