"""All golden files of version 2.0, of every writer, read equal: in full, in batches, by ranges, by row numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import lancelet
from golden_index import FULL_CORPUS, golden_root, is_any_field, select
from lancelet.testing import assert_tables_equal
from test_golden import check_file

if TYPE_CHECKING:
    from golden_index import GoldenFile

FILES = select(("2.0",), is_any_field)
WRITERS = {"0.19.2", "0.23.2", "0.30.0", "0.36.0", "1.0.4", "4.0.1", "14.0.2"}


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in FILES])
def test_file(file: GoldenFile) -> None:
    check_file(file, None)


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in FILES[::5]])
def test_single_columns(file: GoldenFile) -> None:
    expected = file.expected()
    data = file.path.read_bytes()
    for name in reversed(expected.column_names):
        table = lancelet.FileReader(data, columns=[name]).read_all().to_table()
        assert_tables_equal(table, expected.select([name]))


@pytest.mark.skipif(golden_root() != FULL_CORPUS, reason="a subset has fewer files")
def test_the_corpus_is_whole() -> None:
    assert len(FILES) == 334
    assert {file.writer for file in FILES} == WRITERS
