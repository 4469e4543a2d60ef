"""Columns that are read straight from memory give what the general way gives: the same values, the same refusals."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lancelet
from golden_index import is_any_field, is_flat_field, select
from lancelet import kernels
from lancelet.container import reader as container_reader
from lancelet.container.metadata import PageMetadata
from lancelet.errors import FormatError, LanceletError
from lancelet.file import direct_columns, direct_forms, scan
from lancelet.file.column import ColumnPages
from lancelet.file.direct import DirectColumns, DirectFields, NotDirect, TooMuchToOpen
from lancelet.file.direct_forms import kind_of
from lancelet.pages.base import RowRanges
from lancelet.testing import assert_tables_equal
from lancelet.testing.strategies import flat_tables
from test_corrupt import mutate, mutated_files
from test_golden import ranges, rng_for, takes
from tiers import sample_or_full

if TYPE_CHECKING:
    from golden_index import GoldenFile

VERSIONS = ("2.1", "2.2")
FILES = select(VERSIONS, is_any_field)
FLAT = [file for file in FILES if all(map(is_flat_field, file.schema()))]


def directly_read(reader: lancelet.FileReader) -> list[str]:
    """Names of the fields that a reader reads directly now."""
    direct = reader._columns.direct
    assert direct is not None
    reads = reader._selection.reads
    return [read.stored.name for read in reads if direct.number_of(read.stored, read.columns) is not None]


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with lancelet.FileWriter(sink, table.schema, **options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def outcome(data: bytes, *, direct: bool) -> pa.Table | type[Exception]:
    """Read all rows of bytes, which need not be aligned, unlike files; directly where that is possible, or not at all."""
    try:
        reader = lancelet.FileReader(data)
        if not direct:
            vars(reader._columns)["direct"] = None
        return reader.read_all().to_table()
    except LanceletError as error:
        return type(error)


def same(found: pa.Table, wanted: pa.Table) -> bool:
    """Compare tables that may hold anything, such as dates that are no days: NaN is equal to itself here."""
    if found.schema != wanted.schema or found.num_rows != wanted.num_rows:
        return False
    pairs = zip(found.itercolumns(), wanted.itercolumns(), strict=True)
    return all(as_bits(left).equals(as_bits(right)) for left, right in pairs)


def as_bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(column.type):
        return column
    type_ = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[column.type.bit_width]
    return pa.chunked_array([chunk.view(type_) for chunk in column.chunks], type_)


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.name) for file in FILES[:: sample_or_full(3, 1)]]
)
def test_golden_files_read_as_they_do_the_general_way(file: GoldenFile) -> None:
    mapped = lancelet.FileReader(str(file.path))
    general = lancelet.FileReader(str(file.path), mmap=False)
    assert_tables_equal(mapped.read_all().to_table(), general.read_all().to_table())
    rng = rng_for(file.name)
    for start, num_rows in ranges(mapped.num_rows, rng):
        assert_tables_equal(
            mapped.read_range(start, num_rows).to_table(), general.read_range(start, num_rows).to_table()
        )
    for rows in takes(mapped.num_rows, rng):
        assert_tables_equal(mapped.take_rows(rows).to_table(), general.take_rows(rows).to_table())


def test_most_flat_columns_are_read_directly() -> None:
    num_direct = num_columns = 0
    for file in FLAT:
        reader = lancelet.FileReader(str(file.path))
        reader.read_all().to_table()
        num_columns += len(reader.schema)
        num_direct += len(directly_read(reader))
    assert num_direct > num_columns / 2, f"{num_direct} of {num_columns}"


@pytest.mark.parametrize("version", VERSIONS)
@settings(
    max_examples=sample_or_full(150, 3000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_any_flat_table(version: str, data: st.DataObject) -> None:
    table = data.draw(flat_tables())
    profile = data.draw(st.sampled_from(("balanced", "small", "fast", "reference")))
    file = written(
        table, version=version, profile=profile, max_page_bytes=data.draw(st.sampled_from((1 << 12, 1 << 20)))
    )
    direct, general = lancelet.FileReader(file), lancelet.FileReader(io.BytesIO(file))
    assert_tables_equal(direct.read_all().to_table(), general.read_all().to_table())
    if table.num_rows == 0:
        return
    batch_size = data.draw(st.integers(1, table.num_rows + 1))
    if table.num_rows <= 500 * batch_size:
        batches = direct.read_all(batch_size=batch_size).to_batches()
        assert_tables_equal(pa.Table.from_batches(batches, direct.schema), general.read_all().to_table())
    rows = np.array(data.draw(st.lists(st.integers(0, table.num_rows - 1), min_size=1, max_size=40)))
    assert_tables_equal(direct.take_rows(rows).to_table(), general.take_rows(rows).to_table())
    for reader in (direct, general):
        for column in reader.take_rows(rows).to_table().columns:
            column.validate(full=True)


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.name) for file in mutated_files() if file in FLAT]
)
def test_damaged_bytes_end_as_they_do_the_general_way(file: GoldenFile) -> None:
    data = file.path.read_bytes()
    for index in range(sample_or_full(20, 500)):
        what, damaged = mutate(data, np.random.default_rng([zlib.crc32(file.name.encode()), 1, index]))
        found, wanted = outcome(damaged, direct=True), outcome(damaged, direct=False)
        if isinstance(found, pa.Table) and isinstance(wanted, pa.Table):
            assert same(found, wanted), f"mutation {index} ({what})"
        else:
            assert found == wanted, f"mutation {index} ({what})"


def test_a_page_of_another_kind_leaves_its_column_to_the_general_way() -> None:
    numbers = pa.chunked_array([pa.array(np.arange(3000) % 7), pa.array([5] * 3000)])
    table = pa.table({"mixed": numbers, "plain": np.arange(6000)})
    sink = io.BytesIO()
    with lancelet.FileWriter(sink, table.schema, data_cache_bytes=2) as writer:
        writer.write_table(table)
    reader = lancelet.FileReader(sink.getvalue())
    assert directly_read(reader) == ["mixed", "plain"]
    assert_tables_equal(reader.read_range(0, 10).to_table(), table.slice(0, 10))
    assert directly_read(reader) == ["mixed", "plain"]
    assert_tables_equal(reader.read_all().to_table(), table)
    assert directly_read(reader) == ["plain"]
    assert_tables_equal(reader.take_rows([2999, 3000, 5999]).to_table(), table.take([2999, 3000, 5999]))


@pytest.mark.parametrize("text", [b"\xc3(", b"\xff", b"ok \xe2\x82"])
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    table = pa.table({"text": pa.array([b"gr\xc3\xbcn", b"abc" + bytes(len(text)), b"plain"])})
    good = written(pa.table({"text": table["text"].cast(pa.string())}))
    damaged = good.replace(b"abc" + bytes(len(text)), b"abc" + text)
    assert damaged != good
    with pytest.raises(LanceletError, match="UTF-8"):
        lancelet.FileReader(damaged).read_all().to_table()
    with pytest.raises(LanceletError, match="UTF-8"):
        lancelet.FileReader(damaged).take_rows([1]).to_table()
    # the damaged value was not asked for
    assert lancelet.FileReader(damaged).take_rows([2]).to_table()["text"].to_pylist() == ["plain"]


def direct_fields(reader: lancelet.FileReader, max_bytes: int) -> DirectFields:
    direct = DirectColumns(reader._container, max_bytes)
    reads = reader._selection.reads
    numbers = [direct.number_of(read.stored, read.columns) for read in reads]
    assert None not in numbers
    return DirectFields(
        direct, [read.stored for read in reads], [read.columns[0].column for read in reads], numbers
    )


def test_open_pages_are_bounded_in_bytes() -> None:
    table = pa.table({"a": np.arange(50_000), "b": pa.array(["x", "yy", None, "zz"] * 12_500)})
    reader = lancelet.FileReader(written(table, max_page_bytes=100_000))
    assert len(reader.metadata()[0].pages) > 3
    with pytest.raises(TooMuchToOpen):
        direct_fields(reader, 0).read(RowRanges.single(0, 50_000), pa.allocate_buffer)
    for max_bytes in (5_000, 10_000, 1 << 20):
        fields = direct_fields(reader, max_bytes)
        for start in range(0, 50_000, 7_000):
            stop = min(start + 9_000, 50_000)
            arrays = fields.read(RowRanges.single(start, stop), pa.allocate_buffer)
            assert_tables_equal(pa.table(arrays, table.column_names), table.slice(start, stop - start))


def test_a_file_that_changes_between_two_steps_of_a_read(tmp_path: Path) -> None:
    """What values take is measured first, and they are copied afterwards: by then they may be others."""
    path = tmp_path / "text.lance"
    text = pa.array([f"{number:05}" * 3 for number in range(1000)])
    path.write_bytes(written(pa.table({"text": text}), profile="fast"))
    good = path.read_bytes()
    reader = lancelet.FileReader(str(path))
    fields = direct_fields(reader, 1 << 20)
    sizes: list[int] = []
    changed_at = 0

    def allocate(size: int) -> pa.Buffer:
        sizes.append(size)
        if len(sizes) == changed_at:
            with path.open("r+b") as file:
                file.write(bytes(200) + b"\xff" * (len(good) // 2))
        return pa.allocate_buffer(size)

    fields.read(RowRanges.single(0, 1000), allocate)
    assert len(sizes) > 2
    outcomes = set()
    for step in range(1, len(sizes) + 1):
        changed_at = step
        sizes.clear()
        path.write_bytes(good)
        try:
            fields.read(RowRanges.single(0, 1000), allocate)
        except NotDirect:
            outcomes.add("refused")
        else:
            outcomes.add("read")
    assert "refused" in outcomes


def test_what_was_read_the_general_way_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"list": [[1], [2, 3], [4]], "text": ["one", "abc", "plain"]})
    damaged = written(table).replace(b"abc", b"a\xffc")
    decoded: list[int] = []
    decode = ColumnPages.decode

    def counted(pages: ColumnPages, *arguments: Any) -> Any:
        decoded.append(pages.column)
        return decode(pages, *arguments)

    monkeypatch.setattr(ColumnPages, "decode", counted)
    with pytest.raises(LanceletError, match="UTF-8"):
        lancelet.FileReader(damaged).take_rows([1]).to_table()
    assert decoded.count(0) == 1, "the list is decoded once, whether before or after the text was refused"
    decoded.clear()
    with pytest.raises(LanceletError, match="UTF-8"):
        lancelet.FileReader(damaged).read_all().to_table()
    assert decoded.count(0) == 1


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell what is mapped")
def test_a_closed_reader_holds_no_map(tmp_path: Path) -> None:
    path = tmp_path / "closed.lance"
    table = pa.table({"n": np.arange(1000), "list": [[1]] * 1000})
    path.write_bytes(written(table))
    reader = lancelet.FileReader(str(path))
    assert reader.read_all().to_table().equals(table)
    assert path.name in Path("/proc/self/maps").read_text()
    reader.close()
    assert path.name not in Path("/proc/self/maps").read_text()
    assert (reader.num_rows, reader.schema) == (1000, table.schema)
    with pytest.raises(ValueError, match="closed"):
        reader.read_all().to_table()


def test_columns_that_two_threads_add_have_one_number() -> None:
    table = pa.table({"a": np.arange(1000)})
    reader = lancelet.FileReader(written(table))
    (read,) = reader._selection.reads
    direct = DirectColumns(reader._container, 1 << 20)
    native = direct._native

    class Overtaken:
        """Lets another thread add the same column first."""

        def add_columns(self, *arguments: Any) -> int:
            direct._native = native
            direct.add([read.stored], read.columns)
            faster.append(direct.number_of(read.stored, read.columns))
            return native.add_columns(*arguments)

    faster: list[int | None] = []
    direct._native = Overtaken()  # type: ignore[assignment]
    direct.add([read.stored], read.columns)
    assert faster == [direct.number_of(read.stored, read.columns)]


def test_divisions_of_fields_that_another_thread_forgets() -> None:
    class Forgetful(dict[Any, Any]):
        def __setitem__(self, key: object, value: object) -> None: ...

    table = pa.table({"a": np.arange(1000)})
    reader = lancelet.FileReader(written(table))
    reader._selection._kept_groups = Forgetful()
    assert_tables_equal(reader.read_all().to_table(), table)


def test_values_that_are_too_wide_to_count() -> None:
    rows = 1 << 40
    for width, wanted in ((1 << 20, 1 << 60), (1 << 27, 1 << 67)):
        columns = kernels.DirectColumns(b"")
        columns.add_column(np.array([0, rows]), False, 8 * width)
        read = kernels.DirectRead(columns, np.array([0]), np.array([0]), np.array([rows]))
        needs = np.zeros((1, 2), dtype=np.int64)
        read.measure(needs)
        assert 1 << 50 < needs[0, 1] <= wanted, "so much that no limit allows it"


def test_widths_that_the_kernel_does_not_count() -> None:
    assert kind_of("fixed_size_binary:1000000") == (False, 8_000_000, False)
    for width in (2**28, 2**29 + 1, 2**31 - 1):  # Arrow says that the second has 8 bits
        assert kind_of(f"fixed_size_binary:{width}") is None


@pytest.mark.parametrize("step", ["begin", "decode"])
def test_tables_for_which_there_is_no_memory(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr(scan, "_INLINE_BYTES", 0)
    monkeypatch.setattr(scan, "_INLINE_FIELD_BYTES", 0)
    monkeypatch.setattr(DirectFields, step, fail)
    reader = lancelet.FileReader(written(pa.table({"a": np.arange(1000)})))
    with pytest.raises(LanceletError, match="no memory"):
        reader.read_all().to_table()


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are parsed and pages opened together, however few there are."""
    monkeypatch.setattr(container_reader, "_MIN_TOGETHER_BYTES", 0)
    monkeypatch.setattr(direct_columns, "_FEW_PAGES", -1)


def test_a_wide_table(together: None) -> None:
    rng = np.random.default_rng(0)
    names = [f"v{number}" * 9 for number in range(50)]
    kinds = [
        rng.integers(0, 1 << 40, 700),
        pa.array(rng.random(700), mask=rng.random(700) < 0.2),
        pa.array(rng.random(700) < 0.5),
        pa.array(names).take(pa.array(rng.integers(0, 50, 700))),
        pa.array([f"é{name}" for name in names]).take(pa.array(rng.integers(0, 50, 700))),
        pa.array([name.encode() + b"\xff" for name in names]).take(pa.array(rng.integers(0, 50, 700))),
        pa.array(rng.integers(0, 30, 700) << 50),
        pa.array([5] * 700),
        pa.array([[1], []] * 350),
        pa.nulls(700),
    ]
    table = pa.table({f"c{number}": kinds[number % len(kinds)] for number in range(4 * len(kinds))})
    for profile in ("balanced", "small", "fast", "reference"):
        for options in ({}, {"max_page_bytes": 1 << 9}):
            reader = lancelet.FileReader(written(table, profile=profile, **options))
            assert_tables_equal(reader.read_all().to_table(), table)
            assert reader._container.table is not None
            assert_tables_equal(reader.take_rows([3, 699]).to_table(), table.take([3, 699]))


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in FLAT])
def test_golden_files_opened_together(file: GoldenFile, together: None) -> None:
    mapped = lancelet.FileReader(str(file.path))
    general = lancelet.FileReader(str(file.path), mmap=False)
    assert_tables_equal(mapped.read_all().to_table(), general.read_all().to_table())


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.name) for file in mutated_files() if file in FLAT]
)
def test_damaged_bytes_opened_together(file: GoldenFile, together: None) -> None:
    test_damaged_bytes_end_as_they_do_the_general_way(file)


def test_pages_that_are_opened_together_are_opened_by_the_kernel(
    together: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"text": ["a", "b"] * 500, "number": np.arange(1000), "bool": [True, None] * 500})
    reader = lancelet.FileReader(written(table))

    def unwanted(*_: object) -> bool:
        raise AssertionError("a page is opened on its own")

    monkeypatch.setattr(DirectColumns, "_add_page", unwanted)
    assert_tables_equal(reader.read_all().to_table(), table)


def test_ranges_that_lie_close_together_are_fetched_together() -> None:
    gap = direct_columns._GAP_BYTES
    ranges = [(300, 10), (0, 100), (50, 20), (320 + gap, 5), (310, 0), (400 + 2 * gap, 1)]
    assert direct_columns._near(ranges) == ranges
    many = 3 * ranges
    assert direct_columns._near(many) == [(0, 310), (320 + gap, 5), (400 + 2 * gap, 1)]


@settings(max_examples=sample_or_full(100, 2000), deadline=None)
@given(data=st.data())
def test_tables_in_parts(data: st.DataObject) -> None:
    table = data.draw(flat_tables())
    if table.num_rows == 0:
        return
    reader = lancelet.FileReader(written(table, max_page_bytes=1 << 12))
    direct = reader._columns.direct
    assert direct is not None
    reads = [
        read for read in reader._selection.reads if direct.number_of(read.stored, read.columns) is not None
    ]
    if not reads:
        return
    numbers = [direct.number_of(read.stored, read.columns) for read in reads]
    fields = DirectFields(
        direct, [read.stored for read in reads], [read.columns[0].column for read in reads], numbers
    )
    rows = np.unique(data.draw(st.lists(st.integers(0, table.num_rows - 1), min_size=1)))
    wanted = data.draw(st.sampled_from((RowRanges.single(0, table.num_rows), RowRanges.from_sorted(rows))))
    step = 64 * data.draw(st.integers(1, 40))
    numbers_of_rows = np.concatenate(
        [np.arange(start, stop) for start, stop in zip(wanted.starts, wanted.stops, strict=True)]
    )
    try:
        whole = fields.table(wanted, pa.allocate_buffer)
        parts = [
            whole.read(
                RowRanges.from_sorted(numbers_of_rows[start : start + step]), start, pa.allocate_buffer
            )
            for start in range(0, len(numbers_of_rows), step)
        ]
    except NotDirect:
        return
    for read, arrays in zip(reads, whole.finish(parts), strict=True):
        for array in arrays:
            array.validate(full=True)
        expected = reader.take_rows(numbers_of_rows, columns=[read.stored.name]).to_table()
        assert_tables_equal(pa.table([pa.chunked_array(arrays)], schema=expected.schema), expected)


def test_a_form_is_found_out_once_for_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a table repeat the messages of their pages; what pages say themselves is checked for each of them."""

    def table(seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        numbers = {f"n{i}": rng.integers(0, 1000, 2000) for i in range(12)}
        words = rng.permutation([f"word {i % 50} of {seed}" for i in range(2000)])
        return pa.table({**numbers, "words": words})

    monkeypatch.setattr(direct_forms, "_forms", {})
    data = [written(table(seed)) for seed in range(3)]
    for wide in data[:2]:
        assert outcome(wide, direct=True).num_rows == 2000
    num_known = len(direct_forms._forms)
    assert num_known > 0
    monkeypatch.setattr(
        direct_columns, "form_of", lambda layout: None
    )  # now all others are read the general way
    reader = lancelet.FileReader(data[2])
    assert_tables_equal(reader.read_all().to_table(), table(2))
    assert len(directly_read(reader)) >= 12
    assert len(direct_forms._forms) == num_known


def test_symbol_tables_and_long_messages_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_forms, "_forms", {})
    plain = direct_forms.Form((0, 0, 0, 32, False), None, 7, 2, (0, 0, False, 0))
    direct_forms.remember_form(("page", b"symbols"), plain._replace(symbols=b"table"))
    direct_forms.remember_form(("page", bytes(1 << 16)), plain)
    assert direct_forms._forms == {}
    for number in range(5000):
        direct_forms.remember_form(("page", number.to_bytes(2, "little")), plain)
    assert 0 < len(direct_forms._forms) <= 1024
    assert direct_forms.known_form(("page", (4999).to_bytes(2, "little"))) is plain


def test_a_page_without_its_dictionary_is_refused_though_its_form_is_known() -> None:
    """Few pages are opened one by one; indices must not be taken for values."""
    table = pa.table({"words": [f"word {i % 5}" for i in range(2000)]})
    data = written(table)
    assert_tables_equal(outcome(data, direct=True), table)
    reader = lancelet.FileReader(data)
    column = reader._columns.pages(0)
    page = column.metadata.page(0)
    assert len(page.buffers) == 3, "the column has a dictionary"
    form = direct_forms.known_form((page.type_name, page.encoding))
    assert form is not None
    assert form.num_buffers == 3
    shorter = PageMetadata(page.buffers[:2], page.num_rows, page.first_row, page.type_name, page.encoding)
    column.metadata._pages = (shorter,)
    with pytest.raises(FormatError):
        reader.read_all().to_table()
