"""Rows to pages, windows and orders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancelet.errors import OptionError
from lancelet.file.rows import RowCursor, check_range, order_rows
from lancelet.pages.base import RowRanges
from lancelet.pages.rows import split_by_page


def rows_of(ranges: RowRanges) -> list[int]:
    return [
        row for start, stop in zip(ranges.starts, ranges.stops, strict=True) for row in range(start, stop)
    ]


row_sets = st.sets(st.integers(0, 60), min_size=1).map(sorted)


@given(row_sets)
def test_ranges_of_sorted_rows(rows):
    ranges = RowRanges.from_sorted(np.array(rows))
    assert rows_of(ranges) == rows
    assert ranges.num_rows == len(rows)
    assert (ranges.starts[1:] > ranges.stops[:-1]).all()


@given(row_sets, st.lists(st.integers(0, 20), min_size=1))
def test_every_row_goes_to_its_page(rows, lengths):
    first_rows = np.concatenate(([0], np.cumsum([*lengths, 61])))
    found = []
    for part in split_by_page(RowRanges.from_sorted(np.array(rows)), first_rows):
        start = first_rows[part.page]
        local = rows_of(part.rows)
        assert local
        assert local[0] >= 0
        assert local[-1] < first_rows[part.page + 1] - start
        found += [row + start for row in local]
    assert found == rows


@given(row_sets, st.integers(1, 30))
def test_rows_are_used_up_in_order(rows, size):
    cursor, parts = RowCursor(RowRanges.from_sorted(np.array(rows))), []
    while cursor.left:
        below = {row: cursor.count_below(row) for row in range(62)}
        left = rows[sum(map(len, parts)) :]
        assert below == {row: sum(other < row for other in left) for row in range(62)}
        parts.append(rows_of(cursor.take(size)))
    assert [row for part in parts for row in part] == rows
    assert all(len(part) == size for part in parts[:-1])
    assert 0 < len(parts[-1]) <= size


@given(st.lists(st.integers(0, 30), min_size=1))
def test_orders_give_back_what_was_asked_for(indices):
    order = order_rows(np.array(indices), 31)
    rows = rows_of(order.rows)
    assert rows == sorted(set(indices))
    found = rows if order.positions is None else [rows[position] for position in order.positions]
    assert found == indices


@pytest.mark.parametrize("indices", [[-1], [0, 10], [3, -7, 2]])
def test_rows_that_do_not_exist(indices):
    with pytest.raises(OptionError, match="does not exist; the file has 10 rows"):
        order_rows(np.array(indices), 10)


@pytest.mark.parametrize(("start", "num_rows"), [(-1, 2), (0, 11), (11, 0), (5, -1)])
def test_ranges_that_do_not_exist(start, num_rows):
    with pytest.raises(OptionError, match="do not exist"):
        check_range(start, num_rows, 10)


def test_ranges_may_be_empty():
    check_range(10, 0, 10)
    check_range(0, 10, 10)
