"""Values picked from fixed-size lists of fixed-size lists: pyarrow reads past those that are slices."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.blocks.selection import filtered, taken
from oracle import oracle

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("2.1", "2.2")


def lists_of_lists(num_rows: int, start: int = 0, start_of_items: int = 0) -> pa.Array:
    """Return fixed-size lists of 2 lists of 3 numbers, which start within larger arrays."""
    num_items = 2 * (num_rows + start)
    numbers = pa.array(np.arange(3 * (num_items + start_of_items)), pa.int16())
    items = pa.FixedSizeListArray.from_arrays(numbers, 3).slice(start_of_items)
    return pa.FixedSizeListArray.from_arrays(items, 2).slice(start)


@pytest.mark.parametrize(("start", "start_of_items"), list(product((0, 1, 8), repeat=2)))
@pytest.mark.parametrize("within", ["itself", "struct", "list"])
def test_slices(start: int, start_of_items: int, within: str) -> None:
    array = lists_of_lists(200, start, start_of_items)
    if within == "struct":
        array = pa.StructArray.from_arrays([array], ["x"])
    elif within == "list":
        array = pa.ListArray.from_arrays(pa.array(range(0, 201, 4), pa.int32()), array)
    rows: list[Any] = array.to_pylist()
    positions = np.array([3, 3, 0, len(array) - 1])
    assert taken(array, positions).to_pylist() == [rows[position] for position in positions]
    mask = np.arange(len(array)) % 3 == 1
    assert filtered(array, mask).to_pylist() == rows[1::3]


@pytest.mark.parametrize("version", VERSIONS)
def test_one_row_is_taken_twice(version: str, tmp_path: Path) -> None:
    table = pa.table({"x": lists_of_lists(50)})
    path = tmp_path / "x.lance"
    with lancelet.FileWriter(path, version=version) as writer:
        writer.write_table(table)
    found = lancelet.FileReader(path).take_rows([7, 7, 7]).to_table()
    assert found.to_pylist() == 3 * table.slice(7, 1).to_pylist()


@pytest.mark.parametrize("version", VERSIONS)
def test_items_of_null_lists_are_left_out(version: str, tmp_path: Path) -> None:
    items = lists_of_lists(40, 2, 1)
    lists = pa.ListArray.from_arrays(
        pa.array(range(0, 41, 4), pa.int32()), items, mask=pa.array([row == 3 for row in range(10)])
    )
    table = pa.table({"x": lists})
    path = tmp_path / "x.lance"
    with lancelet.FileWriter(path, version=version, keep_original_array=True) as writer:
        writer.write_table(table)
    assert lancelet.FileReader(path).read_all().to_table().to_pylist() == table.to_pylist()
    assert oracle("14.0.2").read(path)[0].to_pylist() == table.to_pylist()
