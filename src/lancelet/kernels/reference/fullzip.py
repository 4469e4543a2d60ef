"""Full-zip pages: one record per entry, control word and then the value (structural.md 6).

===============  ============================  ====================
record           entry visible                 entry not visible
===============  ============================  ====================
fixed width      word, value                   word
any length       word, length, value           word
any length, null word                          word
===============  ============================  ====================

A word is ``rep << bits_def | def``, little endian, in as few of 0, 1, 2 or 4 bytes as hold ``bits_rep + bits_def`` bits. An
entry is visible when its definition level is at most ``max_visible``. Lengths have ``length_bytes`` (4 or 8) bytes; of
``value_bytes`` and ``length_bytes`` one is 0 and so says which form the records have. Empty vectors of levels are absent ones:
every level is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.buffers import as_bytes, as_values, nbytes
from lancelet.errors import FormatError
from lancelet.kernels.reference.fsst import fsst_decode_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lancelet.buffers import Data, UInt8Array

__all__ = [
    "unzip_fixed",
    "unzip_fsst",
    "unzip_rows",
    "unzip_sizes",
    "zip_fixed",
    "zip_variable",
    "zip_variable_size",
]


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check(condition: Any, message: str) -> None:
    if not condition:
        raise FormatError(message)


def _word_bytes(bits_rep: int, bits_def: int) -> int:
    _require(0 <= bits_rep <= 16 and 0 <= bits_def <= 16, "levels have 0 to 16 bits")
    total = bits_rep + bits_def
    return 0 if total == 0 else 1 if total <= 8 else 2 if total <= 16 else 4


def _levels(rep: Data, def_: Data, num_values: int) -> tuple[list[int], list[int]]:
    reps, defs = as_values(rep, 16).tolist(), as_values(def_, 16).tolist()
    _require(not reps or not defs or len(reps) == len(defs), "there must be as many rep as def levels")
    num_entries = len(reps or defs) or num_values
    return reps or [0] * num_entries, defs or [0] * num_entries


def _values_of(offsets: Data, data: Data, length_bytes: int) -> list[bytes]:
    _require(length_bytes in (4, 8), "lengths have 4 or 8 bytes")
    _require(nbytes(offsets) and nbytes(offsets) % length_bytes == 0, "there must be num_values + 1 offsets")
    ends = as_values(offsets, 8 * length_bytes).tolist()
    raw = as_bytes(data).tobytes()
    _require(all(a <= b <= len(raw) for a, b in pairwise(ends)), "an offset points outside")
    return [raw[a:b] for a, b in pairwise(ends)]


def zip_variable_size(
    def_: Data, max_visible: int, offsets: Data, length_bytes: int, word_bytes: int, num_entries: int
) -> int:
    """Give the size of the records of values of any length.

    Parameters
    ----------
    def_
        ``uint16[num_entries]``, may be absent.
    max_visible
        Largest level of an entry that has a value.
    offsets
        ``num_values + 1`` unsigned integers of `length_bytes`; the bytes of null values are left out.
    length_bytes
        4 or 8.
    word_bytes
        Bytes of a control word.
    num_entries
        Number of entries.

    Raises
    ------
    ValueError
        The visible entries are not as many as the values, or the offsets decrease.
    """
    _require(length_bytes in (4, 8), "lengths have 4 or 8 bytes")
    _require(nbytes(offsets) and nbytes(offsets) % length_bytes == 0, "there must be num_values + 1 offsets")
    _require(0 <= word_bytes <= 4 and num_entries >= 0, "a size is negative")
    ends = as_values(offsets, 8 * length_bytes)
    _require((ends[1:] >= ends[:-1]).all(), "the offsets decrease")
    lengths = np.diff(ends).astype(np.int64) + length_bytes
    if nbytes(def_):
        levels = as_values(def_, 16)
        levels = levels[levels <= max_visible]
        _require(len(levels) == len(lengths), "there must be one value per visible entry")
        lengths = lengths[levels == 0]
    return num_entries * word_bytes + int(lengths.sum())


def _put_records(
    levels: tuple[list[int], list[int]],
    bits: tuple[int, int],
    max_rep: int,
    bodies: Iterator[bytes],
    max_visible: int,
    out: Data,
    row_starts: Data,
) -> None:
    width = _word_bytes(*bits)
    _require(bits[0] > 0 or max_rep == 0, "lists need repetition levels")
    records = bytearray()
    starts = []
    for rep, def_ in zip(*levels, strict=True):
        _require(rep >> bits[0] == 0 and def_ >> bits[1] == 0, "a level does not fit its bits")
        if rep == max_rep:
            starts.append(len(records))
        records += ((rep << bits[1]) | def_).to_bytes(width, "little")
        if def_ <= max_visible:
            body = next(bodies, None)
            _require(body is not None, "more visible entries than values")
            records += body or b""
    _require(next(bodies, None) is None, "fewer visible entries than values")
    _require(nbytes(out) == len(records), "out has a wrong size")
    as_bytes(out)[:] = np.frombuffer(records, np.uint8)
    if nbytes(row_starts):
        target = as_values(row_starts, 64)
        _require(len(target) == len(starts) + 1, "row_starts must have num_rows + 1 items")
        target[:] = [*starts, len(records)]


def zip_fixed(
    rep: Data,
    def_: Data,
    bits_rep: int,
    bits_def: int,
    max_rep: int,
    max_visible: int,
    values: Data,
    value_bytes: int,
    out: Data,
    row_starts: Data,
) -> None:
    """Write records of values of one width.

    Parameters
    ----------
    rep, def_
        ``uint16[num_entries]``. Both absent: one entry per value.
    bits_rep, bits_def
        Bits of the levels in a control word, at most 16 each.
    max_rep
        Repetition level that starts a row.
    max_visible
        Largest definition level of an entry that has a value.
    values
        ``num_slots * value_bytes`` bytes, null slots included.
    value_bytes
        Bytes of a value, at least 1.
    out
        ``num_entries * word + num_slots * value_bytes`` bytes.
    row_starts
        ``int64[num_rows + 1]``: where each row starts in `out`, and its size; or empty when that is not wanted.

    Raises
    ------
    ValueError
        A size does not fit, or a level does not fit its bits.
    """
    _require(
        value_bytes > 0 and nbytes(values) % value_bytes == 0, "the values are not a whole number of values"
    )
    raw = as_bytes(values).tobytes()
    bodies = [raw[i : i + value_bytes] for i in range(0, len(raw), value_bytes)]
    levels = _levels(rep, def_, len(bodies))
    _put_records(levels, (bits_rep, bits_def), max_rep, iter(bodies), max_visible, out, row_starts)


def zip_variable(
    rep: Data,
    def_: Data,
    bits_rep: int,
    bits_def: int,
    max_rep: int,
    max_visible: int,
    offsets: Data,
    data: Data,
    length_bytes: int,
    out: Data,
    row_starts: Data,
) -> None:
    """Write records of values of any length.

    Parameters
    ----------
    rep, def_, bits_rep, bits_def, max_rep, max_visible, row_starts
        As in :func:`zip_fixed`.
    offsets
        ``num_slots + 1`` unsigned integers of `length_bytes`; the first need not be 0.
    data
        What the offsets refer to. The bytes of null slots are left out.
    length_bytes
        4 or 8.
    out
        As many bytes as :func:`zip_variable_size` says.

    Raises
    ------
    ValueError
        A size does not fit, a level does not fit its bits, or an offset points outside of `data`.
    """
    values = _values_of(offsets, data, length_bytes)
    levels = _levels(rep, def_, len(values))
    visible = [def_ for def_ in levels[1] if def_ <= max_visible]
    _require(len(visible) == len(values), "there must be one value per visible entry")
    bodies = [
        b"" if level else len(value).to_bytes(length_bytes, "little") + value
        for level, value in zip(visible, values, strict=True)
    ]
    _put_records(levels, (bits_rep, bits_def), max_rep, iter(bodies), max_visible, out, row_starts)


@dataclass(slots=True)
class _Records:
    """Entries and values of some rows."""

    reps: list[int] = field(default_factory=list)
    defs: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)

    def read_row(self, row: bytes, form: tuple[int, ...]) -> None:
        bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes = form
        word_bytes = _word_bytes(bits_rep, bits_def)
        at = 0
        while at < len(row):
            _check(len(row) - at >= word_bytes, "a control word is cut off")
            word = int.from_bytes(row[at : at + word_bytes], "little")
            rep, def_ = word >> bits_def, word & ((1 << bits_def) - 1)
            _check(rep <= max_rep and def_ <= max_def, "a level is larger than the layers allow")
            _check((rep == max_rep) == (at == 0), "a row does not start where the repetition index says")
            at += word_bytes
            self.reps.append(rep)
            self.defs.append(def_)
            if def_ > max_visible:
                continue
            size = value_bytes
            if length_bytes and def_ == 0:
                _check(len(row) - at >= length_bytes, "the length of a value is cut off")
                size = int.from_bytes(row[at : at + length_bytes], "little")
                at += length_bytes
            _check(size <= len(row) - at, "a value is longer than its row")
            self.values.append(row[at : at + size])
            at += size


def _read(parts: Sequence[Data], row_counts: Data, row_offsets: Data, form: tuple[int, ...]) -> _Records:
    bits_rep, bits_def, max_rep, *_, value_bytes, length_bytes = form
    _word_bytes(bits_rep, bits_def)
    _require(value_bytes >= 0 and length_bytes in (0, 4, 8), "lengths have 4 or 8 bytes")
    _require(value_bytes == 0 or length_bytes == 0, "records have either one width or lengths")
    _require(value_bytes + length_bytes + bits_rep + bits_def > 0, "records have at least one byte")
    _require(bits_rep > 0 or max_rep == 0, "lists need repetition levels")
    _require(all(0 <= level <= 0xFFFF for level in form[2:5]), "a level must be within 0 and 65535")
    counts = as_values(row_counts, 64).view(np.int64).tolist()
    offsets = as_values(row_offsets, 64).view(np.int64).tolist()
    _require(len(counts) == len(parts), "one row count per part")
    records = _Records()
    row = 0
    for part, count in zip(parts, counts, strict=True):
        _require(0 <= count <= len(offsets) - row, "fewer row offsets than rows")
        raw = as_bytes(part).tobytes()
        _require(count == 0 or offsets[row] == 0, "the first row of a part must start at 0")
        _check(count or not raw, "there are records and no rows")
        starts = [*offsets[row : row + count], len(raw)]
        for start, stop in pairwise(starts):
            _check(0 <= start < stop <= len(raw), "the rows of a page overlap or are cut off")
            records.read_row(raw[start:stop], form)
        row += count
    _require(row == len(offsets), "more row offsets than rows")
    return records


def unzip_sizes(
    parts: Sequence[Data],
    row_counts: Data,
    row_offsets: Data,
    bits_rep: int,
    bits_def: int,
    max_rep: int,
    max_def: int,
    max_visible: int,
    value_bytes: int,
    length_bytes: int,
) -> tuple[int, int, int]:
    """Check the records of some rows and give the sizes that :func:`unzip_rows` needs.

    Parameters
    ----------
    parts
        Buffers; each holds whole rows back to back.
    row_counts
        ``int64[num_parts]``: rows in each.
    row_offsets
        ``int64[num_rows]``: where each row starts in its part; the first row of a part at 0.
    bits_rep, bits_def
        Bits of the levels in a control word, at most 16 each.
    max_rep, max_def
        Largest levels that the layers allow; `max_rep` starts a row.
    max_visible
        Largest definition level of an entry that has a value.
    value_bytes, length_bytes
        Bytes of a value, or of a length (4 or 8); the other one is 0.

    Returns
    -------
    num_entries, num_slots, num_bytes
        Records, those with a value, and the bytes of all values.

    Raises
    ------
    FormatError
        A row does not start where it should, or its records do not fill it exactly; a level is too large.
    ValueError
        The arguments do not fit each other.
    """
    form = (bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes)
    records = _read(parts, row_counts, row_offsets, form)
    return len(records.reps), len(records.values), sum(map(len, records.values))


def unzip_rows(
    parts: Sequence[Data],
    row_counts: Data,
    row_offsets: Data,
    bits_rep: int,
    bits_def: int,
    max_rep: int,
    max_def: int,
    max_visible: int,
    value_bytes: int,
    length_bytes: int,
    rep_out: Data,
    def_out: Data,
    offsets_out: Data,
    values_out: Data,
) -> None:
    """Take the records of some rows apart.

    Parameters
    ----------
    parts, row_counts, row_offsets, bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes
        As in :func:`unzip_sizes`.
    rep_out, def_out
        ``uint16[num_entries]``, or empty when they are not wanted.
    offsets_out
        ``num_slots + 1`` unsigned integers of `length_bytes`, from 0; a null slot has no bytes. Empty for values of one width.
    values_out
        ``num_bytes`` bytes; they may be the first ones of the only part, whose rows then stand in order.

    Raises
    ------
    FormatError
        As in :func:`unzip_sizes`; or the records do not fill the outputs exactly.
    ValueError
        The arguments do not fit each other.
    """
    form = (bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes)
    if length_bytes:
        _require(nbytes(offsets_out) and nbytes(offsets_out) % length_bytes == 0, "offsets are missing")
    else:
        _require(nbytes(offsets_out) == 0, "values of one width have no offsets")
    records = _read(parts, row_counts, row_offsets, form)
    for levels, out in ((records.reps, rep_out), (records.defs, def_out)):
        target = as_values(out, 16)
        if len(target):
            _check(len(target) == len(levels), "the number of records is not that of the entries")
            target[:] = levels
    values: UInt8Array = np.frombuffer(b"".join(records.values), np.uint8)
    _check(nbytes(values_out) == len(values), "the values do not fit the room for them")
    as_bytes(values_out)[:] = values
    if length_bytes:
        ends = np.cumsum([0, *map(len, records.values)])
        target = as_values(offsets_out, 8 * length_bytes)
        _check(len(target) == len(ends), "the number of values is not that of the offsets")
        target[:] = ends


def unzip_fsst(
    parts: Sequence[Data],
    row_counts: Data,
    row_offsets: Data,
    bits_rep: int,
    bits_def: int,
    max_rep: int,
    max_def: int,
    max_visible: int,
    value_bytes: int,
    length_bytes: int,
    table: Data,
    rep_out: Data,
    def_out: Data,
    offsets_out: Data,
    values_out: Data,
) -> tuple[int, bool]:
    """Decompress values where they lie in their records: :func:`unzip_rows` and then :func:`fsst_decode_values`.

    Parameters
    ----------
    parts, row_counts, row_offsets, bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes
        As in :func:`unzip_sizes`; values have lengths.
    table
        Symbol table of 2312 bytes, not switched off.
    rep_out, def_out
        ``uint16[num_entries]``, or empty when they are not wanted.
    offsets_out
        ``num_slots + 1`` unsigned integers of `length_bytes`: where each value begins in `values_out`, and the end.
    values_out
        Room for the values, none of the bytes of `parts`; what lies behind the last one may be written over.

    Returns
    -------
    tuple
        As :func:`fsst_decode_values`: bytes of all values, -1 when `values_out` has no room for them, or their offsets cannot
        count them; and whether all bytes are known to be ASCII.

    Raises
    ------
    FormatError
        As in :func:`unzip_rows`; or the table is corrupt, a code has no symbol, or a value ends in an escape. Without room values
        may go unseen.
    ValueError
        The arguments do not fit each other, or the table is switched off.
    """
    form = (bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes)
    _require(length_bytes > 0, "values of one width are not compressed")
    _require(nbytes(offsets_out) > 0 and nbytes(offsets_out) % length_bytes == 0, "offsets are missing")
    _, _, num_bytes = unzip_sizes(parts, row_counts, row_offsets, *form)
    offsets, compressed = np.empty(nbytes(offsets_out), np.uint8), np.empty(num_bytes, np.uint8)
    unzip_rows(parts, row_counts, row_offsets, *form, rep_out, def_out, offsets, compressed)
    return fsst_decode_values(table, compressed, offsets, 8 * length_bytes, offsets_out, values_out)


def unzip_fixed(
    parts: Sequence[Data], bits_def: int, max_def: int, value_bytes: int, def_out: Data, values_out: Data
) -> None:
    """Take records of one width apart that belong to no list: every one is a row and has a value.

    Parameters
    ----------
    parts
        Buffers of whole records.
    bits_def
        Bits of a definition level; 0: there are no control words.
    max_def
        Largest definition level that the layers allow.
    value_bytes
        Bytes of a value; 0 for nulls that are not stored, and then there are control words.
    def_out
        ``uint16[num_records]``; empty when `bits_def` is 0.
    values_out
        ``num_records * value_bytes`` bytes; they may be the first ones of the only part.

    Raises
    ------
    FormatError
        A part is no whole number of records, or a level is too large.
    ValueError
        An output has a wrong size.
    """
    word_bytes = _word_bytes(0, bits_def)
    width = word_bytes + value_bytes
    _require(value_bytes >= 0 and width > 0, "records have at least one byte")
    _check(all(nbytes(part) % width == 0 for part in parts), "the records are not a whole number of records")
    records = np.concatenate([as_bytes(part) for part in parts] or [np.zeros(0, np.uint8)]).reshape(-1, width)
    _require(nbytes(values_out) == len(records) * value_bytes, "values_out must have one value per record")
    as_bytes(values_out)[:] = records[:, word_bytes:].reshape(-1)
    levels = as_values(def_out, 16)
    _require(len(levels) == (len(records) if word_bytes else 0), "def_out must have one level per record")
    if word_bytes:
        levels[:] = np.ascontiguousarray(records[:, :word_bytes]).view(f"<u{word_bytes}").reshape(-1)
        _check(not (levels > max_def).any(), "a definition level is larger than the layers allow")
