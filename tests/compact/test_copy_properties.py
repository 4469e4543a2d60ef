"""Properties of copies: any table, cut in any way into files of any page sizes, is the same table when these are put together."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from lancelet.compact.copy import OutputLimits, copy_files
from lancelet.file import FileReader
from lancelet.schema.fields import Schema
from lancelet.storage import LocalStore
from lancelet.testing import assert_tables_equal, nested, strategies
from lancelet.versions import Version
from oracle import oracle
from pylance_limits import aborts_when_rows_are_taken, limit_of_pylance
from table.made_datasets import make_fragment, write_file
from test_properties import as_read_back, examples, write_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


def check(table: pa.Table, options: dict[str, Any], cuts: Sequence[int], data: st.DataObject) -> None:
    """Write a table in parts, all of them with rows, and put them together."""
    version = Version.parse(options["version"])
    sizes = {name: value for name, value in options.items() if name != "version" and value is not None}
    schema = Schema.from_arrow(table.schema)
    edges = sorted({0, table.num_rows, *(cut % (table.num_rows + 1) for cut in cuts)})
    parts = [table.slice(start, stop - start) for start, stop in pairwise(edges)]
    with tempfile.TemporaryDirectory() as directory:
        store = LocalStore(directory)
        fragments = [
            make_fragment(store, number, [write_file(store, schema, part, version, **sizes)], part.num_rows)
            for number, part in enumerate(parts)
        ]
        target = data.draw(st.integers(1, table.num_rows), "target")
        copies = copy_files(store, fragments, schema, version, limits=OutputLimits(target_rows=target))
        assert sum(copy.num_sources for copy in copies) == len(parts)
        start = 0
        for copy in copies:
            expected = as_read_back(table.slice(start, copy.num_rows))
            start += copy.num_rows
            path = Path(directory, "data", copy.file.path)
            with FileReader(path) as reader:
                assert_tables_equal(reader.read_all().to_table(), expected)
            if limit_of_pylance(table.schema) is None:
                # a batch without a value would be too much for it
                batch_rows = copy.num_rows if aborts_when_rows_are_taken(table.schema) else 1024
                found = oracle("14.0.2").read(path, [("all", batch_rows)])[0]
                assert_tables_equal(found, expected)
        assert start == table.num_rows


CUTS = st.lists(st.integers(0, 1 << 16), max_size=5)


@given(table=strategies.flat_tables(), options=write_options(), cuts=CUTS, data=st.data())
@examples(30, 800)
def test_flat_tables(table: pa.Table, options: dict[str, Any], cuts: list[int], data: st.DataObject) -> None:
    if table.num_rows:
        check(table, options, cuts, data)


@given(options=write_options(), cuts=CUTS, data=st.data())
@examples(30, 800)
def test_nested_tables(options: dict[str, Any], cuts: list[int], data: st.DataObject) -> None:
    table = data.draw(nested.nested_tables(options["version"]), "table")
    if table.num_rows:
        check(table, options, cuts, data)
