"""Version 2.3 means different things: the dialect of pylance 4 is that of 2.2, and is read; that of pylance 14 is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from golden_index import golden_files, superseded_files
from lancelet import FileReader, UnsupportedError
from lancelet.cli import main
from lancelet.testing import assert_tables_equal

if TYPE_CHECKING:
    from golden_index import GoldenFile

OLD = superseded_files()
NEW = [file for file in golden_files() if file.version == "2.3"]


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in OLD])
def test_the_dialect_of_pylance_4_is_read(file: GoldenFile) -> None:
    expected = file.expected()
    reader = FileReader(file.path)
    assert reader.version.text == "2.3"
    assert_tables_equal(reader.read_all().to_table(), expected, metadata=True)
    if expected.num_rows:
        rows = [expected.num_rows - 1, 0]
        assert_tables_equal(reader.take_rows(rows).to_table(), expected.take(rows))


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in NEW[::10]])
def test_the_dialect_of_pylance_14_is_named(file: GoldenFile, capsys: pytest.CaptureFixture[str]) -> None:
    reader = FileReader(file.path)
    assert reader.version.text == "2.3"
    assert reader.num_rows == file.expected().num_rows
    if any(column.pages for column in reader.metadata()):
        with pytest.raises(UnsupportedError, match=r"2\.3 as of pylance 14 \(PlanarLayout\)"):
            reader.read_all().to_table()
    for verb in ("info", "schema", "pages"):
        assert main([verb, str(file.path)]) == 0
        assert capsys.readouterr().out
