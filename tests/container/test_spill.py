"""Page metadata in a spill file: the layout, what stays behind, and what damage leads to."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lancelet import FileReader, FileWriter, FormatError, OptionError
from lancelet.container.metadata import BufferRef, PageMetadata, encode_page
from lancelet.container.spill import MemoryPages, SpilledPages
from lancelet.pb.file2_pb2 import ColumnMetadata
from tiers import sample_or_full


def page(number: int, message: bytes = b"x") -> bytes:
    refs = (BufferRef(64 * number, number),)
    return encode_page(PageMetadata(refs, number, 10 * number, "example.Page", message))


def batches(num_batches: int, num_columns: int) -> list[pa.RecordBatch]:
    rng = np.random.default_rng(num_batches)
    names = [f"c{number}" for number in range(num_columns)]
    return [
        pa.record_batch([rng.integers(0, 1 << 40, 8) for _ in names], names=names) for _ in range(num_batches)
    ]


def write(path: Path, data: list[pa.RecordBatch], **options: object) -> bytes:
    with FileWriter(path, data_cache_bytes=0, **options) as writer:  # type: ignore[arg-type]
        writer.write_batches(data)
    return path.read_bytes()


@pytest.fixture
def spill(tmp_path: Path) -> Path:
    return tmp_path / "pages.spill"


@pytest.mark.parametrize("version", ["2.0", "2.2"])
@pytest.mark.parametrize(("num_batches", "num_columns"), [(20, 2), (50, 2), (10, 500)])
def test_files_are_the_same(
    tmp_path: Path, spill: Path, num_batches: int, num_columns: int, version: str
) -> None:
    data = batches(num_batches, num_columns)
    plain = write(tmp_path / "a.lance", data, version=version)
    for spill_bytes in (1, 4096, 256 * 1024) if num_columns < 500 else (4096,):
        options = {"page_spill": spill, "page_spill_bytes": spill_bytes, "version": version}
        assert write(tmp_path / "b.lance", data, **options) == plain
        assert not spill.exists()
    assert FileReader(plain).read_all().to_table().equals(pa.Table.from_batches(data))


def test_layout(spill: Path) -> None:
    store = SpilledPages(spill, 400)
    store.expect(3)  # 133 bytes each
    pages = [page(number) for number in range(12)]
    expected, pending = b"", {0: b"", 2: b""}
    for number, data in enumerate(pages):
        column = 2 * (number % 2)
        store.add(column, data)
        pending[column] += data[1:]
        if len(pending[column]) >= 400 // 3:
            expected += pending[column]
            pending[column] = b""
        assert spill.read_bytes() == expected
    assert expected
    assert store.num_columns == 3
    store.seal()
    assert spill.read_bytes() == expected + pending[0] + pending[2]
    for column, wanted in ((0, pages[::2]), (1, []), (2, pages[1::2])):
        joined = store.take(column)
        assert joined == b"".join(wanted)
        assert len(ColumnMetadata.FromString(joined).pages) == len(wanted)
        assert store.take(column) == b""
    store.discard()
    store.discard()
    assert not spill.exists()


def test_a_share_has_at_least_64_bytes(spill: Path) -> None:
    store = SpilledPages(spill, 100)
    store.expect(1000)
    small = page(0, b"")
    num_pages = -(-64 // (len(small) - 1))
    assert num_pages > 1
    for _ in range(num_pages):
        assert not spill.exists() or spill.stat().st_size == 0
        store.add(0, small)
    assert spill.stat().st_size == num_pages * (len(small) - 1)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000, 3_000_000])
def test_records_of_any_size(spill: Path, size: int) -> None:
    store, memory = SpilledPages(spill, 1000), MemoryPages()
    for kept in (store, memory):
        for number in range(3):
            kept.add(0, page(number, bytes(size)))
        kept.seal()
    assert store.take(0) == memory.take(0)


def test_the_file_is_made_at_the_first_page_and_removed(tmp_path: Path, spill: Path) -> None:
    (batch,) = batches(1, 2)
    for end in ("finish", "abort", "close"):
        writer = FileWriter(tmp_path / "a.lance", batch.schema, data_cache_bytes=0, page_spill=spill)
        assert not spill.exists()
        writer.write_batch(batch)
        assert spill.exists()
        getattr(writer, end)()
        assert not spill.exists()


def test_an_exception_and_a_dropped_writer_remove_it(tmp_path: Path, spill: Path) -> None:
    (batch,) = batches(1, 2)
    target = tmp_path / "a.lance"
    with (  # noqa: PT012
        pytest.raises(RuntimeError, match="mine"),
        FileWriter(target, data_cache_bytes=0, page_spill=spill) as writer,
    ):
        writer.write_batch(batch)
        raise RuntimeError("mine")
    assert list(tmp_path.iterdir()) == []
    writer = FileWriter(target, data_cache_bytes=0, page_spill=spill)
    writer.write_batch(batch)
    assert spill.exists()
    del writer
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_removes_it(
    tmp_path: Path, spill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lancelet.fields.encoder as encoder

    (batch,) = batches(1, 2)
    writer = FileWriter(tmp_path / "a.lance", data_cache_bytes=0, page_spill=spill)
    writer.write_batch(batch)
    monkeypatch.setattr(encoder, "flat_leaf", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.write_batch(batch)
    assert list(tmp_path.iterdir()) == []


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other(path: Path) -> None:
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(b"\xff" * size)


@pytest.mark.parametrize("damage", [Path.unlink, shorter, one_bit, empty, other])
@pytest.mark.parametrize("spill_bytes", [1, 4096])
def test_a_damaged_file_is_a_format_error(
    tmp_path: Path, spill: Path, damage: object, spill_bytes: int
) -> None:
    writer = FileWriter(
        tmp_path / "a.lance", data_cache_bytes=0, page_spill=spill, page_spill_bytes=spill_bytes
    )
    writer.write_batches(batches(100, 2))
    assert spill.stat().st_size > 1000
    damage(spill)  # type: ignore[operator]
    with pytest.raises(FormatError, match=r"spill file .*pages\.spill"):
        writer.finish()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OptionError, match="the writer is aborted"):
        writer.finish()


def test_a_directory_in_its_place(tmp_path: Path, spill: Path) -> None:
    writer = FileWriter(tmp_path / "a.lance", data_cache_bytes=0, page_spill=spill)
    writer.write_batches(batches(3, 2))
    spill.unlink()
    spill.mkdir()
    with pytest.raises(FormatError, match="has vanished"):
        writer.finish()
    assert list(tmp_path.iterdir()) == [spill]


def test_a_file_that_exists_is_not_touched(tmp_path: Path, spill: Path) -> None:
    spill.write_bytes(b"mine")
    writer = FileWriter(tmp_path / "a.lance", data_cache_bytes=0, page_spill=spill)
    with pytest.raises(OptionError, match="exists"):
        writer.write_batches(batches(1, 1))
    writer.abort()
    assert spill.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [spill]


@pytest.mark.parametrize(
    "options",
    [
        {"page_spill": 5},
        {"page_spill": ""},
        {"page_spill": "a\0b"},
        {"page_spill": "a", "page_spill_bytes": 0},
        {"page_spill": "a", "page_spill_bytes": -1},
        {"page_spill": "a", "page_spill_bytes": "1"},
        {"page_spill": "a", "page_spill_bytes": None},
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="page_spill"):
        FileWriter(tmp_path / "a.lance", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_change_of_directory_does_not_move_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = FileWriter(tmp_path / "a.lance", data_cache_bytes=0, page_spill="pages.spill")
    writer.write_batches(batches(3, 2))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert writer.finish() == 24
    assert not (tmp_path / "pages.spill").exists()


def test_a_forked_child_leaves_the_file_alone(tmp_path: Path, spill: Path) -> None:
    store = SpilledPages(spill, 1)
    store.add(0, page(1, bytes(100)))
    child = os.fork()
    if child == 0:
        store.discard()
        os._exit(0)
    os.waitpid(child, 0)
    store.seal()
    assert store.take(0) == page(1, bytes(100))


MEMORY = """
    import json, sys
    import numpy as np, pyarrow as pa
    from lancelet import FileWriter

    directory, num_writers, num_pages, spills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "spilled"
    batch = pa.record_batch({"a": np.arange(8), "b": np.arange(8)})

    def private():
        with open("/proc/self/smaps_rollup") as rollup:
            return sum(int(line.split()[1]) for line in rollup if line.startswith(("Private_Dirty", "Private_Clean"))) * 1024

    writers = [
        FileWriter(f"{directory}/{number}.lance", data_cache_bytes=0, page_spill_bytes=4096,
                   page_spill=f"{directory}/{number}.spill" if spills else None)
        for number in range(num_writers)
    ]
    found = []
    for number in range(1, num_pages + 1):
        for writer in writers:
            writer.write_batch(batch)
        if number in (num_pages // 10, num_pages):
            found.append(private())
    for writer in writers:
        writer.finish()
    print(json.dumps(found))
"""


def growth(directory: Path, num_writers: int, num_pages: int, kind: str) -> int:
    """Return the bytes of private memory that writers take between a tenth of their pages and all of them."""
    directory.mkdir()
    arguments = [str(directory), str(num_writers), str(num_pages), kind]
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    first, last = json.loads(run.stdout)
    return last - first


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="private memory is not told here")
def test_memory_does_not_grow_with_the_pages(tmp_path: Path) -> None:
    num_writers = sample_or_full(10, 50)
    assert growth(tmp_path / "spilled", num_writers, 500, "spilled") <= 1 << 20
    # what the heap has to spare takes a part of the pages
    assert growth(tmp_path / "plain", num_writers, 500, "plain") > num_writers * 10_000
    for number in range(num_writers):
        name = f"{number}.lance"
        assert (tmp_path / "spilled" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert list((tmp_path / "spilled").glob("*.spill")) == []
