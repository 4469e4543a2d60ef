"""Run-length encoding, byte-stream-split and moves of fixed-width values (compressors.md 2.1, 5.1, 5.2 and 5.5).

==================  ================================================================================================
form                bytes
==================  ================================================================================================
runs of a chunk     values of T bits in one buffer, lengths of 8 bits (1 to 255) in another, as many of each
runs of a block     ``u64`` size of the values | values | lengths
byte-stream-split   byte ``j`` of value ``i`` at ``j * num_values + i``
flat                values one after the other, least significant bit first
record              fields of whole bytes one after the other; one record a row
==================  ================================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.buffers import as_bytes, as_values
from lancelet.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from lancelet.buffers import Data, Int64Array, UInt8Array

    Values = npt.NDArray[Any]

__all__ = [
    "bss_decode",
    "bss_encode",
    "flat_bits_decode",
    "flat_bits_encode",
    "flat_gather",
    "records_get",
    "records_put",
    "rle_cut",
    "rle_decode",
    "rle_decode_blocks",
    "rle_encode",
    "rle_encode_blocks",
    "word_stats",
]

LONGEST_RUN = 255


def _values(data: Data, bits: int) -> Values:
    if bits not in (8, 16, 32, 64):
        raise ValueError("bits must be 8, 16, 32 or 64")
    if memoryview(data).nbytes % (bits // 8):
        raise ValueError("the data is not a whole number of values")
    return as_values(data, bits)


def _split(values: Values, counts: Int64Array) -> list[Values]:
    if np.any(counts < 0) or int(counts.sum()) != len(values):
        raise ValueError("the counts do not fit the values")
    return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []


def _parts(data: Data, offsets: Int64Array, sizes: Int64Array, counts: Int64Array) -> Iterator[UInt8Array]:
    """Give the parts one by one, each checked when its turn comes."""
    if not len(offsets) == len(sizes) == len(counts):
        raise ValueError("offsets, sizes and counts differ in length")
    source = as_bytes(data)
    for offset, size in zip(offsets.tolist(), sizes.tolist(), strict=True):
        if offset < 0 or size < 0 or offset + size > len(source):
            raise FormatError("a buffer part lies outside of its buffer")
        yield source[offset : offset + size]


def _append(out: UInt8Array, written: int, part: Values) -> int:
    if part.nbytes > len(out) - written:
        raise ValueError("the counts do not fit the output")
    out[written : written + part.nbytes] = part.view(np.uint8)
    return written + part.nbytes


def _check_full(out: UInt8Array, written: int) -> None:
    if written != len(out):
        raise ValueError("the counts do not fit the output")


def _runs(values: Values) -> tuple[Values, Int64Array]:
    """Return the value and the length of every run."""
    starts = (
        np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
        if len(values)
        else np.array([], int)
    )
    return values[starts], np.diff(starts, append=len(values))


def _entries(values: Values) -> tuple[Values, UInt8Array]:
    """Return value and length of every entry: runs cut into pieces of 255 and the rest."""
    run_values, run_lengths = _runs(values)
    pieces = -(-run_lengths // LONGEST_RUN)
    lengths = np.full(int(pieces.sum()), LONGEST_RUN, dtype=np.uint8)
    lengths[np.cumsum(pieces) - 1] = run_lengths - (pieces - 1) * LONGEST_RUN
    return np.repeat(run_values, pieces), lengths


def word_stats(data: Data, bits: int, max_run: int) -> tuple[int, int, int, int]:
    """Count what decides how values are encoded (compressors.md 6: *BitWidth*, *RunCount* and *RLE entries*).

    Parameters
    ----------
    data
        Values of `bits` bits (8, 16, 32 or 64).
    bits
        T.
    max_run
        Values after which a run is cut in any case (4096); at least 64.

    Returns
    -------
    max_bits, total_bits, runs, entries
        Largest and sum of the significant bits of the OR of every 1024 values, number of runs of equal bit patterns, and
        of entries of at most 255 values.
    """
    if max_run < 64:
        raise ValueError("max_run must be at least 64")
    values = _values(data, bits)
    blocks = [values[start : start + 1024] for start in range(0, len(values), 1024)]
    widths = [int(np.bitwise_or.reduce(block)).bit_length() for block in blocks]
    lengths = _runs(values)[1]
    full, rest = np.divmod(lengths, max_run)
    entries = full * -(-max_run // LONGEST_RUN) + -(-rest // LONGEST_RUN)
    return max(widths, default=0), sum(widths), len(lengths), int(entries.sum())


def rle_cut(
    data: Data, bits: int, max_values: int, max_bytes: int, out_counts: Int64Array, out_entries: Int64Array
) -> int:
    """Cut values into chunks of runs (compressors.md 5.1).

    What remains is the last chunk when it has at most `max_values` values and its entries take at most `max_bytes`; else the
    next chunk is the largest power of two of values that does, and 2 where nothing does.

    Parameters
    ----------
    data
        Values of `bits` bits.
    bits
        T: 8, 16, 32 or 64.
    max_values
        Most values a chunk, at least 2.
    max_bytes
        Most bytes of the entries of a chunk, ``T / 8 + 1`` each.
    out_counts, out_entries
        ``int64[..]``, at least as long as there are chunks: values and entries of each.

    Returns
    -------
    int
        Number of chunks.
    """
    values = _values(data, bits)
    if max_values < 2 or max_bytes < 0:
        raise ValueError("max_values must be at least 2, max_bytes not negative")
    max_entries = max_bytes // (bits // 8 + 1)
    start = num_chunks = 0
    while start < len(values):
        count = len(values) - start
        if count > max_values or len(_entries(values[start:])[1]) > max_entries:
            count = 1 << (min(count, max_values).bit_length() - 1)
            while count > 2 and len(_entries(values[start : start + count])[1]) > max_entries:
                count //= 2
        if num_chunks >= min(len(out_counts), len(out_entries)):
            raise ValueError("the output is too small")
        out_counts[num_chunks] = count
        out_entries[num_chunks] = len(_entries(values[start : start + count])[1])
        start += count
        num_chunks += 1
    return num_chunks


def rle_encode(
    data: Data, bits: int, counts: Int64Array, out_values: Data, out_lengths: Data, out_entries: Int64Array
) -> int:
    """Encode chunks as runs, values and lengths apart (compressors.md 5.1). No run crosses a border of chunks.

    Parameters
    ----------
    data
        Values of `bits` bits.
    bits
        T: 8, 16, 32 or 64.
    counts
        ``int64[num_chunks]``; their sum is the number of values.
    out_values, out_lengths
        Receive the entries of all chunks, T / 8 and 1 bytes each; at least as large as these.
    out_entries
        ``int64[num_chunks]``: entries of each.

    Returns
    -------
    int
        Number of entries.
    """
    if len(out_entries) != len(counts):
        raise ValueError("there must be one number of entries per chunk")
    to_values, to_lengths = as_bytes(out_values), as_bytes(out_lengths)
    values_end = lengths_end = 0
    for index, chunk in enumerate(_split(_values(data, bits), counts)):
        values, lengths = _entries(chunk)
        values_end = _append(to_values, values_end, values)
        lengths_end = _append(to_lengths, lengths_end, lengths)
        out_entries[index] = len(lengths)
    return lengths_end


def rle_encode_blocks(data: Data, bits: int, counts: Int64Array, out: Data, out_sizes: Int64Array) -> int:
    """Encode blocks as runs in the block form (compressors.md 5.1).

    Parameters
    ----------
    data
        Values of `bits` bits.
    bits
        T: 8, 16, 32 or 64.
    counts
        ``int64[num_blocks]``; their sum is the number of values.
    out
        Receives block after block; ``8 * num_blocks + num_values * (T / 8 + 1)`` bytes are always enough.
    out_sizes
        ``int64[num_blocks]``: bytes of each.

    Returns
    -------
    int
        Bytes written.
    """
    if len(out_sizes) != len(counts):
        raise ValueError("there must be one size per block")
    target, written = as_bytes(out), 0
    for index, block in enumerate(_split(_values(data, bits), counts)):
        values, lengths = _entries(block)
        start = written
        for part in (np.array([values.nbytes], dtype="<u8"), values, lengths):
            written = _append(target, written, part)
        out_sizes[index] = written - start
    return written


def _expand(values: UInt8Array, lengths: UInt8Array, count: int, bits: int, length_bits: int) -> Values:
    """Expand the entries of one chunk of `count` values."""
    if count < 0:
        raise FormatError("a chunk has a negative number of values")
    if len(values) % (bits // 8):
        raise FormatError("the run values are not a whole number of values")
    if len(lengths) % (length_bits // 8):
        raise FormatError("the run lengths are not a whole number of lengths")
    run_values = np.frombuffer(values.tobytes(), dtype=f"<u{bits // 8}")
    run_lengths = np.frombuffer(lengths.tobytes(), dtype=f"<u{length_bits // 8}").astype(np.int64)
    if len(run_values) != len(run_lengths):
        raise FormatError("there are not as many run values as run lengths")
    if not run_lengths.all():
        raise FormatError("a run has the length 0")
    ends = np.cumsum(run_lengths)
    if count and (not len(ends) or ends[-1] < count):
        raise FormatError("the runs are shorter than the chunk")
    kept = np.clip(count - (ends - run_lengths), 0, run_lengths)
    return np.repeat(run_values, kept)


def _check_rle(bits: int, length_bits: int) -> None:
    if bits not in (8, 16, 32, 64):
        raise ValueError("bits must be 8, 16, 32 or 64")
    if length_bits not in (8, 16, 32):
        raise ValueError("length_bits must be 8, 16 or 32")


def _check_room(count: int, out: UInt8Array, written: int, bits: int) -> None:
    if count > (len(out) - written) // (bits // 8):
        raise ValueError("the counts do not fit the output")


def rle_decode(
    values: Data,
    value_offsets: Int64Array,
    value_sizes: Int64Array,
    lengths: Data,
    length_offsets: Int64Array,
    length_sizes: Int64Array,
    counts: Int64Array,
    bits: int,
    length_bits: int,
    out: Data,
) -> None:
    """Expand the runs of chunks (compressors.md 5.1).

    Older writers let the last run reach past its chunk: it is cut.

    Parameters
    ----------
    values, lengths
        The bytes that hold the values and the lengths of the runs.
    value_offsets, value_sizes, length_offsets, length_sizes
        ``int64[num_chunks]``: where those of chunk ``i`` lie.
    counts
        ``int64[num_chunks]``, values in each chunk.
    bits
        T: 8, 16, 32 or 64.
    length_bits
        Width of a run length: 8, 16 or 32.
    out
        ``sum(counts) * bits / 8`` bytes.

    Raises
    ------
    FormatError
        A part lies outside of its buffer, there are not as many values as lengths, a length is 0, or the lengths add up to less
        than the count.
    """
    _check_rle(bits, length_bits)
    target, written = as_bytes(out), 0
    value_parts = _parts(values, value_offsets, value_sizes, counts)
    length_parts = _parts(lengths, length_offsets, length_sizes, counts)
    for count, run_values, run_lengths in zip(counts.tolist(), value_parts, length_parts, strict=True):
        _check_room(count, target, written, bits)
        written = _append(target, written, _expand(run_values, run_lengths, count, bits, length_bits))
    _check_full(target, written)


def rle_decode_blocks(
    data: Data,
    offsets: Int64Array,
    sizes: Int64Array,
    counts: Int64Array,
    bits: int,
    length_bits: int,
    out: Data,
) -> None:
    """Expand the runs of blocks in the block form (compressors.md 5.1).

    Parameters
    ----------
    data
        The bytes that hold the blocks.
    offsets, sizes
        ``int64[num_blocks]``: where block ``i`` lies.
    counts
        ``int64[num_blocks]``, values in each block.
    bits, length_bits
        As for :func:`rle_decode`.
    out
        ``sum(counts) * bits / 8`` bytes.

    Raises
    ------
    FormatError
        As for :func:`rle_decode`; or the header is cut off or reaches past the block.
    """
    _check_rle(bits, length_bits)
    target, written = as_bytes(out), 0
    for count, block in zip(counts.tolist(), _parts(data, offsets, sizes, counts), strict=True):
        if len(block) < 8:
            raise FormatError("a block of runs is shorter than its header")
        split = int.from_bytes(block[:8].tobytes(), "little")
        body = block[8:]
        if split > len(body):
            raise FormatError("the run values reach past their block")
        _check_room(count, target, written, bits)
        written = _append(target, written, _expand(body[:split], body[split:], count, bits, length_bits))
    _check_full(target, written)


def bss_encode(data: Data, counts: Int64Array, bits: int, out: Data) -> None:
    """Split chunks of values into streams of bytes (compressors.md 5.2).

    Parameters
    ----------
    data
        Values of `bits` bits.
    counts
        ``int64[num_chunks]``; their sum is the number of values.
    bits
        T: 32 or 64.
    out
        As many bytes as `data`: the chunks one after the other.
    """
    if bits not in (32, 64):
        raise ValueError("bits must be 32 or 64")
    target, written = as_bytes(out), 0
    if len(target) != memoryview(data).nbytes:
        raise ValueError("the output is not as large as the values")
    for chunk in _split(_values(data, bits), counts):
        streams = np.ascontiguousarray(chunk).view(np.uint8).reshape(-1, bits // 8).T
        written = _append(target, written, np.ascontiguousarray(streams).reshape(-1))


def bss_decode(
    data: Data, offsets: Int64Array, sizes: Int64Array, counts: Int64Array, bits: int, out: Data
) -> None:
    """Join the streams of bytes of chunks to values (compressors.md 5.2).

    Parameters
    ----------
    data
        The bytes that hold the chunks.
    offsets, sizes
        ``int64[num_chunks]``: where chunk ``i`` lies.
    counts
        ``int64[num_chunks]``, values in each chunk.
    bits
        T: 32 or 64.
    out
        ``sum(counts) * bits / 8`` bytes.

    Raises
    ------
    FormatError
        A chunk lies outside of `data`, or its size is not ``counts[i] * bits / 8``.
    """
    if bits not in (32, 64):
        raise ValueError("bits must be 32 or 64")
    target, written = as_bytes(out), 0
    for count, part in zip(counts.tolist(), _parts(data, offsets, sizes, counts), strict=True):
        if len(part) != count * (bits // 8):
            raise FormatError("the size of a byte-stream-split buffer does not fit its number of values")
        streams = part.reshape(bits // 8, count)
        written = _append(target, written, np.ascontiguousarray(streams.T).reshape(-1))
    _check_full(target, written)


def flat_gather(
    data: Data, offsets: Int64Array, sizes: Int64Array, counts: Int64Array, bits: int, out: Data
) -> None:
    """Join flat chunks of values of whole bytes (compressors.md 2.1).

    Parameters
    ----------
    data
        The bytes that hold the chunks.
    offsets, sizes
        ``int64[num_chunks]``: where chunk ``i`` lies.
    counts
        ``int64[num_chunks]``, values in each chunk.
    bits
        T: a multiple of 8.
    out
        ``sum(counts) * bits / 8`` bytes.

    Raises
    ------
    FormatError
        A chunk lies outside of `data`, or its size is not ``counts[i] * bits / 8``.
    """
    if bits <= 0 or bits % 8:
        raise ValueError("bits must be a multiple of 8")
    target, written = as_bytes(out), 0
    for count, part in zip(counts.tolist(), _parts(data, offsets, sizes, counts), strict=True):
        if len(part) != count * (bits // 8):
            raise FormatError("the size of a flat buffer does not fit its number of values")
        written = _append(target, written, part)
    _check_full(target, written)


def _bits_of(data: UInt8Array, num_bits: int) -> UInt8Array:
    """Return the first `num_bits` bits as bytes 0 and 1."""
    return np.unpackbits(data, bitorder="little")[:num_bits]


def flat_bits_decode(
    data: Data, offsets: Int64Array, sizes: Int64Array, counts: Int64Array, out: Data
) -> None:
    """Join bitmaps, each of which starts at a byte, to one (compressors.md 2.1, T = 1).

    Parameters
    ----------
    data
        The bytes that hold the bitmaps.
    offsets, sizes
        ``int64[num_chunks]``: where bitmap ``i`` lies.
    counts
        ``int64[num_chunks]``, bits in each.
    out
        ``ceil(sum(counts) / 8)`` bytes; spare bits of the last one become 0.

    Raises
    ------
    FormatError
        A bitmap lies outside of `data`, or its size is not ``ceil(counts[i] / 8)``.
    """
    bits = [np.empty(0, dtype=np.uint8)]
    for count, part in zip(counts.tolist(), _parts(data, offsets, sizes, counts), strict=True):
        if count < 0 or len(part) != -(-count // 8):
            raise FormatError("the size of a bitmap does not fit its number of values")
        bits.append(_bits_of(part, count))
    target = as_bytes(out)
    _check_full(target, _append(target, 0, np.packbits(np.concatenate(bits), bitorder="little")))


def flat_bits_encode(data: Data, counts: Int64Array, out: Data) -> None:
    """Cut a bitmap into bitmaps that each start at a byte (compressors.md 2.1, T = 1).

    Parameters
    ----------
    data
        ``ceil(sum(counts) / 8)`` bytes.
    counts
        ``int64[num_chunks]``, bits of each part.
    out
        ``sum(ceil(counts / 8))`` bytes; spare bits become 0.
    """
    source, target, written = as_bytes(data), as_bytes(out), 0
    if np.any(counts < 0) or -(-int(counts.sum()) // 8) != len(source):
        raise ValueError("the counts do not fit the values")
    for bits in _split(_bits_of(source, int(counts.sum())), counts):
        written = _append(target, written, np.packbits(bits, bitorder="little"))
    _check_full(target, written)


def _field(
    records: Data, bitmap: Data, num_rows: int, row_bits: int, record_bytes: int, position: int
) -> UInt8Array:
    """Check a field of records and return its bytes, ``uint8[num_rows, ceil(row_bits / 8)]``."""
    if num_rows < 0 or record_bytes <= 0 or position < 0 or row_bits < 0:
        raise ValueError("a record or its field has a negative size")
    if memoryview(records).nbytes != num_rows * record_bytes:
        raise ValueError("the records do not fit the number of rows")
    row_bytes = -(-row_bits // 8)
    if position + row_bytes > record_bytes:
        raise ValueError("a field lies outside of its record")
    if memoryview(bitmap).nbytes != -(-num_rows * row_bits // 8):
        raise ValueError("the bits do not fit the number of rows")
    return as_bytes(records).reshape(num_rows, record_bytes)[:, position : position + row_bytes]


def records_put(
    data: Data, num_rows: int, row_bits: int, record_bytes: int, position: int, out: Data
) -> None:
    """Write one field of all records (compressors.md 5.5, per value).

    Parameters
    ----------
    data
        ``ceil(num_rows * row_bits / 8)`` bytes: the bits of all rows without gaps.
    num_rows
        Number of records.
    row_bits
        Bits of the field in a row; it takes ``ceil(row_bits / 8)`` bytes of the record, spare bits become 0.
    record_bytes
        Size of a record.
    position
        Where the field starts in a record.
    out
        ``num_rows * record_bytes`` bytes; other fields stay as they are.
    """
    field = _field(out, data, num_rows, row_bits, record_bytes, position)
    bits = _bits_of(as_bytes(data), num_rows * row_bits).reshape(num_rows, row_bits)
    field[:] = np.packbits(bits, axis=1, bitorder="little")


def records_get(
    data: Data, num_rows: int, row_bits: int, record_bytes: int, position: int, out: Data
) -> None:
    """Read one field of all records (compressors.md 5.5, per value).

    Parameters
    ----------
    data
        ``num_rows * record_bytes`` bytes.
    num_rows, row_bits, record_bytes, position
        As for :func:`records_put`.
    out
        ``ceil(num_rows * row_bits / 8)`` bytes: the bits of all rows without gaps; spare bits of the last byte become 0.
    """
    field = _field(data, out, num_rows, row_bits, record_bytes, position)
    bits = np.unpackbits(field, axis=1, bitorder="little")[:, :row_bits]
    as_bytes(out)[:] = np.packbits(bits.reshape(-1), bitorder="little")
