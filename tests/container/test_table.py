"""Columns that are parsed together are what they are when each is parsed on its own, and damage is said in the same words."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from lancelet.container import reader
from lancelet.container.metadata import ColumnMetadata, PageTotals
from lancelet.container.reader import Container
from lancelet.errors import LanceletError
from lancelet.storage import open_source
from lancelet.storage.memory import MemorySource


def opened(source, *, together):
    container = Container.open(source, check_alignment=not isinstance(source, MemorySource))
    if together:
        container.prepare(container.num_columns)
        assert container.table is not None or not container.num_columns
    return container


def outcome(container, column):
    try:
        totals = container.totals(column)
        found = container.column(column)
    except LanceletError as error:
        return type(error), str(error)
    assert container.column(column) is found
    assert found.totals == container.totals(column) == totals
    return found.totals, found, hash(found), repr(found)


def outcomes(source, *, together):
    try:
        container = opened(source, together=together)
    except LanceletError as error:
        return type(error), str(error)
    return [outcome(container, column) for column in range(container.num_columns)]


@pytest.fixture(autouse=True)
def _always_together(monkeypatch):
    monkeypatch.setattr(reader, "_MIN_TOGETHER_BYTES", 0)


def test_golden_files(golden_root):
    files = sorted(path for path in golden_root.rglob("*.lance") if path.is_file())
    assert files
    num_together = 0
    for path in files:
        with open_source(path) as source:
            assert outcomes(source, together=True) == outcomes(source, together=False), path
            try:
                container = opened(source, together=True)
            except LanceletError:
                continue
            if container.num_columns:
                num_together += container.table.column(0) is not None
    assert num_together > len(files) / 2


def test_damaged_metadata(golden_root):
    rng = np.random.default_rng(0)
    files = sorted(path for path in golden_root.rglob("*.lance") if path.is_file())
    num_errors = 0
    for path in [files[index] for index in rng.integers(0, len(files), 60).tolist()]:
        data = path.read_bytes()
        try:
            footer = Container.open(MemorySource(data), check_alignment=False).footer
        except LanceletError:
            continue
        for _ in range(20):
            damaged = bytearray(data)
            for _ in range(int(rng.integers(1, 4))):
                place = int(rng.integers(footer.column_metadata_offset, footer.column_table_offset))
                damaged[place] = int(rng.integers(0, 256))
            source = MemorySource(bytes(damaged))
            found = outcomes(source, together=True)
            assert found == outcomes(source, together=False), path
            num_errors += any(isinstance(one[0], type) for one in found)
    assert num_errors > 100


def test_a_few_columns_are_parsed_one_by_one(golden_root, monkeypatch):
    monkeypatch.undo()
    path = next(path for path in sorted(golden_root.rglob("*.lance")) if path.is_file())
    with open_source(path) as source:
        container = Container.open(source)
        container.prepare(2)
    assert container.table is None


def test_indices_that_do_not_exist(golden_root):
    path = next(path for path in sorted(golden_root.rglob("*.lance")) if path.is_file())
    with open_source(path) as source:
        container = opened(source, together=True)
    for index in (-1, container.num_columns):
        with pytest.raises(IndexError):
            container.column(index)
        with pytest.raises(IndexError):
            container.totals(index)


def test_metadata_without_known_totals():
    column = ColumnMetadata("name", b"bytes", (), ())
    assert column.totals == PageTotals(0, 0, 0)
    assert column == pickle.loads(pickle.dumps(column)) != ColumnMetadata("other", b"bytes", (), ())
    assert column != "name"
