"""The six tables that are measured, made from fixed seeds.

Every batch has a random generator of its own, seeded with the workload and the batch's number, so a smaller scale is a prefix of
the full table. The tables lie as Arrow IPC files in the work folder and are mapped for writing: the memory of the source does not
count as memory of the writer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

RECIPE = 1  # part of the cached files' names: raise it when a generator changes

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Workload:
    """One table.

    Parameters
    ----------
    name
        Its name on the command line.
    size
        Rows at scale 1; for `scales_columns` the number of columns.
    write_rows, read_rows
        Rows of the batches that are written, and that streamed scans ask for (about 1 MB).
    projection
        The two columns of the projected scan.
    make
        ``make(random, start, size)`` returns rows ``start .. start + size`` of the table.
    scales_columns
        A smaller scale means fewer columns, not fewer rows.
    """

    name: str
    size: int
    write_rows: int
    read_rows: int
    projection: tuple[str, str]
    make: Callable[[Random, int, int], pa.RecordBatch]
    scales_columns: bool = False

    def batches(self, scale: float) -> Iterator[pa.RecordBatch]:
        """Yield the table in the batches in which it is written."""
        size = max(2, round(self.size * scale))
        seed = int.from_bytes(self.name.encode(), "little")
        if self.scales_columns:
            yield self.make(np.random.default_rng([seed, 0]), 0, max(size, len(WIDE_KINDS)))
            return
        for number, start in enumerate(range(0, size, self.write_rows)):
            random = np.random.default_rng([seed, number])
            # A short last batch is cut from a full one: the same rows at every scale.
            full = self.make(random, start, self.write_rows)
            yield full.slice(0, min(self.write_rows, size - start))

    def source(self, directory: Path, scale: float) -> Path:
        """Return the path of the table as an Arrow IPC file in `directory`, made if it is not there."""
        path = directory / f"{self.name}-{scale:g}-v{RECIPE}.arrow"
        if not path.exists():
            directory.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(f".{os.getpid()}")  # another run may make it, too
            batches = self.batches(scale)
            first = next(batches)
            with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
                writer.write_batch(first)
                for batch in batches:
                    writer.write_batch(batch)
            unfinished.replace(path)
        return path


def read_source(path: Path) -> list[pa.RecordBatch]:
    """Return the batches of a table in the work folder; their buffers lie in the mapped file."""
    with pa.memory_map(str(path)) as mapped:
        reader = pa.ipc.open_file(mapped)
        return [reader.get_batch(i) for i in range(reader.num_record_batches)]


def _validity(random: Random, size: int, null_share: float) -> NDArray[np.bool_]:
    """Return a mask that is True where a value is null."""
    return random.random(size) < null_share


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    offsets = np.zeros(lengths.size + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _pick(random: Random, size: int, values: list[str], weights: list[float]) -> pa.Array:
    """Return strings drawn from a few."""
    bounds = np.cumsum(np.array(weights) / sum(weights))[:-1]
    indices = np.searchsorted(bounds, random.random(size)).astype(np.int32)
    return pa.array(values, pa.string()).take(pa.array(indices))


FIRST_TRIP = np.datetime64("2019-01-01", "us").astype(np.int64)


def _taxi(random: Random, start: int, size: int) -> pa.RecordBatch:
    """Make trips in a taxi: what a table of facts looks like."""
    pickup = FIRST_TRIP + 3_150_000 * (start + np.arange(size)) + random.integers(0, 60_000_000, size)
    pickup -= pickup % 1_000_000
    seconds = np.minimum(random.gamma(2.0, 420.0, size), 10_000.0).astype(np.int64)
    distance = np.round(seconds / 3600 * random.uniform(6.0, 18.0, size), 2)
    fare = np.round(2.5 + 2.0 * np.floor((2.5 * distance + seconds / 120) / 2) / 2, 2)
    tip = np.where(random.random(size) < 0.35, 0.0, np.round(fare * random.uniform(0.05, 0.35, size), 2))
    total = np.round(fare + tip + 3.3, 2)
    zones = np.minimum(random.zipf(1.4, size), 263).astype(np.int32)
    columns = {
        "vendor_id": pa.array(random.integers(1, 3, size, np.int32)),
        "pickup_time": pa.array(pickup).cast(pa.timestamp("us")),
        "dropoff_time": pa.array(pickup + 1_000_000 * seconds).cast(pa.timestamp("us")),
        "passenger_count": pa.array(
            random.choice([1, 2, 3, 4, 5, 6], size, p=[0.7, 0.15, 0.05, 0.04, 0.03, 0.03]),
            mask=_validity(random, size, 0.03),
        ),
        "trip_distance": pa.array(distance),
        "pickup_zone": pa.array(zones),
        "dropoff_zone": pa.array(random.integers(1, 264, size, np.int32)),
        "rate_code": pa.array(
            np.where(random.random(size) < 0.97, 1, random.integers(2, 7, size)).astype(np.int32)
        ),
        "stored": _pick(random, size, ["N", "Y"], [0.99, 0.01]),
        "payment_type": _pick(
            random, size, ["Credit card", "Cash", "No charge", "Dispute"], [0.7, 0.28, 0.01, 0.01]
        ),
        "borough": _pick(
            random,
            size,
            ["Manhattan", "Queens", "Brooklyn", "Bronx", "Newark Airport", "Staten Island", "Unknown"],
            [0.88, 0.06, 0.03, 0.01, 0.01, 0.005, 0.005],
        ),
        "fare_amount": pa.array(fare),
        "tip_amount": pa.array(tip),
        "total_amount": pa.array(total),
    }
    return pa.record_batch(columns)


NUM_WORDS = 40_000


def _words() -> pa.StringArray:
    """Return the vocabulary: each word with a space behind it, frequent words shorter."""
    random = np.random.default_rng(40_000)
    lengths = np.clip(np.round(random.normal(2.2 + 0.55 * np.log(1 + np.arange(NUM_WORDS)), 1.6)), 2, 14)
    offsets = _offsets(lengths.astype(np.int64))
    shares = 1 / np.arange(1, 27) ** 0.7
    letters = random.choice(list(b"etaoinshrdlcumwfgypbvkjxqz"), int(offsets[-1]), p=shares / shares.sum())
    letters = letters.astype(np.uint8)
    letters[offsets[1:] - 1] = ord(" ")
    return pa.StringArray.from_buffers(NUM_WORDS, pa.py_buffer(offsets), pa.py_buffer(letters))


def _text(random: Random, start: int, size: int) -> pa.RecordBatch:
    """Make documents of 200 to 2,000 bytes; a word's frequency is one over its rank."""
    vocabulary = _words()
    lengths = 200 + np.floor(1801 * random.beta(1.3, 2.3, size)).astype(np.int64)
    offsets = _offsets(lengths)
    bounds = np.cumsum(1 / np.arange(1, NUM_WORDS + 1))
    bounds /= bounds[-1]
    # A word has at least two bytes; draws continue until the text is long enough for all documents.
    parts: list[pa.Array] = []
    missing = int(offsets[-1])
    while missing > 0:
        drawn = np.searchsorted(bounds, random.random(missing // 4 + 16)).astype(np.int32)
        words = vocabulary.take(pa.array(np.minimum(drawn, NUM_WORDS - 1)))
        parts.append(words)
        missing -= words.buffers()[2].size
    text = np.concatenate([np.frombuffer(part.buffers()[2], np.uint8) for part in parts])
    documents = pa.StringArray.from_buffers(
        size, pa.py_buffer(offsets), pa.py_buffer(text[: offsets[-1]].copy())
    )
    return pa.record_batch({"id": pa.array(np.arange(start, start + size)), "text": documents})


EMBEDDING_SIZE = 768


def _emb(random: Random, start: int, size: int) -> pa.RecordBatch:
    """Make embeddings: float32 vectors that do not compress."""
    values = random.standard_normal(size * EMBEDDING_SIZE, dtype=np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), EMBEDDING_SIZE)
    return pa.record_batch({"id": pa.array(np.arange(start, start + size)), "vector": vectors})


def _lists(random: Random, size: int, values: pa.Array, lengths: NDArray[np.int64]) -> pa.ListArray:
    """Return lists, 5 % of them null."""
    nulls = _validity(random, size, 0.05)
    bitmap = pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    buffers = [bitmap, pa.py_buffer(_offsets(np.where(nulls, 0, lengths)))]
    return pa.Array.from_buffers(pa.list_(values.type), size, buffers, children=[values])


def _nested(random: Random, start: int, size: int) -> pa.RecordBatch:
    """Make rows with lists, structs and lists of structs, with nulls at every level."""
    names = np.char.add("name-", np.arange(3000).astype("U4")).tolist()
    lengths = random.integers(0, 7, size)
    items = pa.array(
        random.integers(0, 5000, int(lengths.sum()), np.int32),
        mask=_validity(random, int(lengths.sum()), 0.1),
    )
    person = pa.StructArray.from_arrays(
        [
            pa.array(random.integers(0, 120, size, np.int32), mask=_validity(random, size, 0.1)),
            pa.array(names).take(pa.array(random.integers(0, len(names), size))),
            pa.array(np.round(random.normal(50.0, 15.0, size), 1), mask=_validity(random, size, 0.05)),
        ],
        ["age", "name", "score"],
        mask=pa.array(_validity(random, size, 0.08)),
    )
    num_events = random.integers(0, 4, size)
    total = int(num_events.sum())
    events = pa.StructArray.from_arrays(
        [
            pa.array(random.integers(0, 40, total, np.int32)),
            pa.array(random.integers(0, 1 << 40, total), mask=_validity(random, total, 0.1)),
        ],
        ["kind", "time"],
    )
    return pa.record_batch(
        {
            "id": pa.array(np.arange(start, start + size)),
            "scores": _lists(random, size, items, lengths),
            "person": person,
            "events": _lists(random, size, events, num_events),
        }
    )


def _images(random: Random, start: int, size: int) -> pa.RecordBatch:
    """Make binaries of 20 to 200 KB that do not compress, as pictures are."""
    offsets = _offsets(random.integers(20_000, 200_001, size))
    pixels = pa.py_buffer(random.bytes(int(offsets[-1])))
    return pa.record_batch(
        {
            "id": pa.array(np.arange(start, start + size)),
            "label": _pick(random, size, [f"class {i}" for i in range(100)], [1.0] * 100),
            "image": pa.Array.from_buffers(pa.binary(), size, [None, pa.py_buffer(offsets), pixels]),
        }
    )


WIDE_ROWS = 1000


def _wide_bool(random: Random) -> pa.Array:
    return pa.array(random.random(WIDE_ROWS) < 0.3)


def _wide_string(random: Random) -> pa.Array:
    names = [f"v{i}" for i in range(200)]
    return pa.array(names).take(pa.array(random.integers(0, len(names), WIDE_ROWS)))


WIDE_KINDS: tuple[Callable[[Random], pa.Array], ...] = (
    lambda random: pa.array(random.integers(0, 1 << int(random.integers(4, 50)), WIDE_ROWS)),
    lambda random: pa.array(random.random(WIDE_ROWS)),
    _wide_bool,
    _wide_string,
    lambda random: pa.array(random.random(WIDE_ROWS, np.float32), mask=_validity(random, WIDE_ROWS, 0.1)),
)


def _wide(random: Random, _start: int, size: int) -> pa.RecordBatch:
    """Make a table of features: many columns of five kinds, few rows."""
    arrays = [WIDE_KINDS[i % len(WIDE_KINDS)](random) for i in range(size)]
    return pa.record_batch(arrays, names=[f"column_{i}" for i in range(size)])


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("taxi", 10_000_000, 65_536, 8192, ("fare_amount", "payment_type"), _taxi),
        Workload("text", 500_000, 16_384, 1024, ("id", "text"), _text),
        Workload("emb", 200_000, 4096, 512, ("id", "vector"), _emb),
        Workload("nested", 2_000_000, 65_536, 16_384, ("id", "scores"), _nested),
        Workload("images", 5000, 128, 64, ("label", "image"), _images),
        Workload("wide", 2000, 1000, 1000, ("column_0", "column_3"), _wide, scales_columns=True),
    )
}
