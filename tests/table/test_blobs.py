"""Blobs of single rows as files: both kinds, in the order asked for, read in pieces, and as pylance reads them."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from blob_tables import blob_field, blob_table, sized
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.storage import MemoryStore, Store
from oracle.client import oracle

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.table.reads.blobs import BlobFile

FIRST = pa.field("b", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
#: Inline, packed, dedicated, null and empty.
VALUES = sized(3, 70_000, None, 0, 5 << 20, 900, 66_000)


def first_table(values: list[bytes | None]) -> pa.Table:
    return pa.table({"id": range(len(values)), "b": values}, pa.schema([("id", pa.int64()), FIRST]))


def contents(files: list[BlobFile | None]) -> list[bytes | None]:
    return [None if file is None else file.read() for file in files]


@pytest.fixture(params=["first-2.0", "first-2.1", "first-2.2", "second"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> lancelet.Dataset:
    """Two fragments with rows deleted in both; the rows left are VALUES, twice, without those at 1."""
    kind, _, version = request.param.partition("-")
    table = first_table(VALUES) if kind == "first" else blob_table(VALUES)
    options: dict[str, Any] = {"data_storage_version": version or "2.2", "enable_stable_row_ids": True}
    found = lancelet.write_dataset(table, tmp_path / "d", **options)
    found = lancelet.write_dataset(table, found, mode="append")
    found.delete("id = 1")
    return found


LEFT = (VALUES[:1] + VALUES[2:]) * 2


def test_rows_by_position_address_and_id(dataset: lancelet.Dataset) -> None:
    everything = dataset.to_table(columns=["id"], with_row_id=True, with_row_address=True)
    rows = [11, 0, 5, 5, 2, 7, 1]
    expected = [LEFT[row] for row in rows]
    assert contents(dataset.take_blobs("b", indices=rows)) == expected
    for keyword, column in (("ids", "_rowid"), ("addresses", "_rowaddr")):
        keys = everything[column].take(pa.array(rows))
        assert contents(dataset.take_blobs("b", **{keyword: keys})) == expected
        assert contents(dataset.take_blobs("b", **{keyword: keys.to_pylist()})) == expected
    assert dataset.take_blobs("b", indices=[]) == []
    with pytest.raises(OptionError, match="row 12 does not exist"):
        dataset.take_blobs("b", indices=[12])


def test_pylance_takes_the_same(dataset: lancelet.Dataset) -> None:
    code = """
ds = lance.dataset(root)
result = [None if file is None else file.read() for file in ds.take_blobs("b", indices=rows)]
"""
    rows = list(range(len(LEFT)))
    assert oracle("14.0.2").run(code, root=dataset.uri, rows=rows) == LEFT


def test_arguments(dataset: lancelet.Dataset) -> None:
    for arguments in ({}, {"ids": [0], "indices": [0]}):
        with pytest.raises(OptionError, match="one of ids, addresses and indices"):
            dataset.take_blobs("b", **arguments)
    with pytest.raises(OptionError, match="'id' holds no blobs"):
        dataset.take_blobs("id", indices=[0])
    with pytest.raises(OptionError, match="nope"):
        dataset.take_blobs("nope", indices=[0])
    with pytest.raises(OptionError, match="buffer_size"):
        dataset.take_blobs("b", indices=[0], buffer_size=-1)


@pytest.mark.parametrize("release", ["4.0.1", "14.0.2"])
@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_first_blobs_of_pylance(release: str, version: str, tmp_path: Path) -> None:
    values = sized(3, 70_000, None, 5, 1 << 20)
    code = "lance.write_dataset(table, root, data_storage_version=version)"
    table = first_table(values)
    oracle(release).run(code, table=table, root=str(tmp_path / "d"), version=version)
    found = lancelet.dataset(tmp_path / "d")
    assert contents(found.take_blobs("b", indices=range(5))) == values
    assert found.to_table(blob_handling="all_binary")["b"].to_pylist() == values


class Counting(MemoryStore):
    """A store that notes which bytes are read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, int, int]] = []

    def get_range(self, path: str, position: int, size: int) -> memoryview:
        self.reads.append((path, position, size))
        return super().get_range(path, position, size)


def big(store: Store, size: int = 1_000_000, **options: Any) -> tuple[bytes, BlobFile]:
    value = random.Random(1).randbytes(size)
    found = lancelet.write_dataset(blob_table([value, b"x"]), store).take_blobs("b", indices=[0], **options)[
        0
    ]
    assert found is not None
    return value, found


@pytest.mark.parametrize("buffer_size", [0, 1, 100, 512 << 10])
def test_a_file_reads_as_a_file_of_memory_does(buffer_size: int) -> None:
    value, file = big(MemoryStore(), 90_000, buffer_size=buffer_size)
    like, chance = io.BytesIO(value), random.Random(buffer_size)
    assert file.size() == len(value)
    for _ in range(300):
        what = chance.randrange(5)
        if what == 0:
            place, whence = chance.choice([(chance.randrange(95_000), 0), (-chance.randrange(90_000), 2)])
            assert file.seek(place, whence) == like.seek(place, whence)
        elif what == 1:
            size = chance.choice([0, 1, 50, 101, 5000])
            assert file.read(size) == like.read(size)
        elif what == 2:
            ours, theirs = bytearray(77), bytearray(77)
            assert file.readinto(ours) == like.readinto(theirs)
            assert ours == theirs
        elif what == 3:
            offset = chance.randrange(90_000)
            assert (
                file.read_range(offset, 5 if offset < 89_000 else 0)
                == value[offset : offset + 5][: 5 if offset < 89_000 else 0]
            )
        assert file.tell() == like.tell()
    file.seek(80_000)
    assert file.readall() == value[80_000:]
    assert file.read() == b""
    assert file.read_ranges([(5, 2), (0, 1)]) == [value[5:7], value[:1]]
    assert io.BufferedReader(file).read() == b""  # it is a file to the standard library


def test_only_what_is_read_is_fetched() -> None:
    store = Counting()
    value, file = big(store)
    store.reads.clear()
    assert (file.seekable(), file.readable(), file.tell(), file.size()) == (True, True, 0, len(value))
    assert store.reads == []
    file.seek(500)
    for start in range(500, 600, 10):
        assert file.read(10) == value[start : start + 10]
    ((path, position, size),) = store.reads
    assert path.endswith(".blob")
    assert (position, size) == (500, 512 << 10)


def test_wrong_moves_and_closed_files() -> None:
    value, file = big(MemoryStore())
    for arguments in ((-1,), (0, 7), (-2_000_000, 2)):
        with pytest.raises(ValueError, match="leads nowhere"):
            file.seek(*arguments)
    for offset, length in ((-1, 1), (0, len(value) + 1), (len(value), 1), (2**70, 1)):
        with pytest.raises(OptionError, match="do not lie inside of a blob"):
            file.read_range(offset, length)
    with pytest.raises(io.UnsupportedOperation):
        file.write(b"x")
    with file:
        assert not file.closed
    for use in (file.read, file.tell, lambda: file.seek(0), lambda: file.read_range(0, 1)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_a_blob_outlives_its_version_only_as_long_as_its_file(tmp_path: Path) -> None:
    from datetime import timedelta

    found = lancelet.write_dataset(blob_table(sized(70_000, 80_000)), tmp_path / "d")
    (file,) = found.take_blobs("b", indices=[1], buffer_size=0)
    assert file is not None
    latest = lancelet.write_dataset(blob_table(sized(5)), found, mode="overwrite")
    assert file.read(5) == sized(0, 80_000)[1][:5]  # type: ignore[index]
    assert latest.cleanup_old_versions(timedelta(0)).data_files_removed == 2
    with pytest.raises(FormatError, match="does not exist"):
        file.read(5)


def test_external_blobs_say_where_they_are() -> None:
    values = ["s3://bucket/object", ("file:///etc/hostname", 3, 4)]
    found = lancelet.write_dataset(blob_table(values), MemoryStore())
    whole, part = found.take_blobs("b", indices=[0, 1])
    assert whole is not None
    assert part is not None
    assert (whole.uri, part.uri) == ("s3://bucket/object", "file:///etc/hostname")
    assert (part.place.position, part.size()) == (3, 4)
    for use in (whole.size, whole.read, part.read, lambda: part.read_range(0, 1)):
        with pytest.raises(UnsupportedError, match="by other means"):
            use()


def test_blobs_below_lists_are_no_column_of_blobs() -> None:
    field = blob_field("item")
    lists = pa.array([[{"data": b"a"}], []], pa.list_(field))
    found = lancelet.write_dataset(pa.table({"l": lists}), MemoryStore())
    with pytest.raises(OptionError, match="holds no blobs"):
        found.take_blobs("l", indices=[0])
    values = found.to_table(blob_handling="all_binary")["l"].to_pylist()
    assert values == [[b"a"], []]


def test_added_columns_of_null_blobs() -> None:
    found = lancelet.write_dataset(pa.table({"id": [1, 2]}), MemoryStore())
    found.add_columns(blob_field())
    assert found.take_blobs("b", indices=[0, 1]) == [None, None]
    assert found.to_table(blob_handling="all_binary")["b"].to_pylist() == [None, None]
