"""FSST: up to 255 symbols of 1 to 8 bytes, one code each (compressors.md 4).

Symbol table, 2312 bytes; n = number of symbols:

========  ======  ==================================================================
offset    size    what
========  ======  ==================================================================
0         1       n, 0 to 255
1         1       terminator: a byte in no symbol of several bytes, or 0 (not needed)
2         1       0 (not needed)
3         1       switch: 1 = compressed, 0 = values are stored as they are
4         4       magic number 0x46535354
8         8 n     symbols, filled up with zeros; code 0 first
8 + 8 n   n       their lengths, 1 to 8
8 + 9 n   ..      zeros
========  ======  ==================================================================

In the stream, a byte below 255 is a code; 255 says that the next byte stands for itself.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from lancelet.buffers import as_bytes, as_values, nbytes
from lancelet.errors import FormatError
from lancelet.kernels.reference.offsets import check_values, read_offsets, write_offsets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.buffers import Data

__all__ = ["fsst_decode", "fsst_decode_offsets", "fsst_decode_values", "fsst_encode", "fsst_train"]

TABLE_BYTES = 2312
MAGIC = 0x46535354
ESCAPE = 255
MAX_SYMBOLS = 255
MAX_SYMBOL_BYTES = 8

SAMPLE_BYTES = 16384
NUM_PIECES = 128
NUM_ROUNDS = 5

_HEAD = struct.Struct("<BBBBI")


def fsst_train(data: Data, offsets: Data, offset_bits: int, out_table: Data) -> int:
    """Choose symbols for some values; the same values always give the same table.

    A sample of 16 KiB (everything, when there is less; else 128 equal stretches spread over the values and cut
    where values end) is parsed greedily in five rounds. After each round the candidates are all tokens of the
    parse and all pairs of neighbours, joined and cut to 8 bytes. Their gain is occurrences x length (x 8 for
    single bytes, which save an escape); the 255 best stay: by gain, then length, then as little-endian numbers.

    Parameters
    ----------
    data
        The values' bytes.
    offsets
        ``num_values + 1`` unsigned integers of `offset_bits`; the first may be above 0.
    offset_bits
        32 or 64.
    out_table
        2312 bytes, filled with the symbol table. It is switched off when there is no symbol.

    Returns
    -------
    int
        Number of symbols; 0 only when all values are empty.

    Raises
    ------
    FormatError
        The offsets decrease or reach past `data`.
    ValueError
        A buffer has a wrong size, or `offset_bits` is unknown.
    """
    borders = read_offsets(offsets, offset_bits)
    if nbytes(out_table) != TABLE_BYTES:
        raise ValueError("fsst_train: a symbol table has 2312 bytes")
    check_values(borders, nbytes(data))
    content = as_bytes(data).tobytes()
    pieces = [content[start:stop] for start, stop in _sample(borders)]
    symbols: list[bytes] = []
    for _ in range(NUM_ROUNDS):
        symbols = _best_symbols(pieces, symbols)
    table = _build_table(symbols)
    as_bytes(out_table)[:] = as_bytes(table)
    return len(symbols)


def _sample(offsets: list[int]) -> Iterator[tuple[int, int]]:
    """Give the ranges of bytes that make up the sample; none crosses the border of a value."""
    first, total = offsets[0], offsets[-1] - offsets[0]
    num_stretches, stretch_bytes = 1, total
    if total > SAMPLE_BYTES:
        num_stretches, stretch_bytes = NUM_PIECES, SAMPLE_BYTES // NUM_PIECES
    for i in range(num_stretches):
        at = first + total // num_stretches * i
        stop = at + stretch_bytes
        while at < stop:
            border = min(offsets[bisect_right(offsets, at)], stop)
            yield at, border
            at = border


def _best_symbols(pieces: list[bytes], symbols: list[bytes]) -> list[bytes]:
    """One round: parse with `symbols`, return the best of them and their pairs."""
    known = frozenset(symbols)
    gains: Counter[bytes] = Counter()
    for piece in pieces:
        tokens = list(_parse(piece, known))
        for token in tokens:
            gains[token] += 8 if len(token) == 1 else len(token)
        for left, right in pairwise(tokens):
            if len(left) < MAX_SYMBOL_BYTES:
                joined = (left + right)[:MAX_SYMBOL_BYTES]
                gains[joined] += len(joined)
    ranked = sorted(
        gains, key=lambda symbol: (-gains[symbol], -len(symbol), int.from_bytes(symbol, "little"))
    )
    return ranked[:MAX_SYMBOLS]


def _parse(value: bytes, symbols: frozenset[bytes]) -> Iterator[bytes]:
    """Cut `value` into the longest symbols, and single bytes where none fits."""
    at = 0
    while at < len(value):
        longest = min(MAX_SYMBOL_BYTES, len(value) - at)
        length = next((n for n in range(longest, 0, -1) if value[at : at + n] in symbols), 1)
        yield value[at : at + length]
        at += length


def _build_table(symbols: list[bytes]) -> bytes:
    """Lay out `symbols`: by length, single bytes last, as the reference does."""
    ordered = sorted(
        symbols, key=lambda symbol: (len(symbol) == 1, len(symbol), int.from_bytes(symbol, "little"))
    )
    in_long = set(b"".join(symbol for symbol in symbols if len(symbol) > 1))
    terminator = next((byte for byte in range(256) if byte not in in_long), 0)
    head = _HEAD.pack(len(symbols), terminator, 0, 1 if symbols else 0, MAGIC)
    body = b"".join(symbol.ljust(8, b"\0") for symbol in ordered) + bytes(map(len, ordered))
    return (head + body).ljust(TABLE_BYTES, b"\0")


def read_table(table: Data) -> list[bytes] | None:
    """Check a symbol table; returns the symbols, ``None`` when it is switched off."""
    if nbytes(table) != TABLE_BYTES:
        raise ValueError("fsst: a symbol table has 2312 bytes")
    raw = as_bytes(table).tobytes()
    num_symbols, _, _, switch, magic = _HEAD.unpack_from(raw)
    if magic != MAGIC:
        raise FormatError("fsst: the symbol table has a wrong magic number")
    if switch > 1:
        raise FormatError("fsst: the switch of the symbol table is neither 0 nor 1")
    if switch == 0:
        return None
    lengths = raw[8 + 8 * num_symbols : 8 + 9 * num_symbols]
    if any(not 1 <= length <= MAX_SYMBOL_BYTES for length in lengths):
        raise FormatError("fsst: a symbol is not 1 to 8 bytes long")
    return [raw[8 + 8 * code : 8 + 8 * code + length] for code, length in enumerate(lengths)]


def fsst_encode(
    table: Data, data: Data, offsets: Data, offset_bits: int, out_offsets: Data, out: Data
) -> int:
    """Compress every value on its own by greedy longest match; equal symbols mean the lower code.

    Parameters
    ----------
    table
        Symbol table of 2312 bytes. Switched off, it copies the values.
    data, offsets, offset_bits
        The values, as in :func:`fsst_train`.
    out_offsets
        ``num_values + 1`` integers of `offset_bits`, filled with offsets from 0.
    out
        At least twice the bytes of the values; the compressed values are written from its start.

    Returns
    -------
    int
        Bytes of all compressed values.

    Raises
    ------
    FormatError
        The table or the offsets are corrupt.
    ValueError
        A buffer has a wrong size, or the values have so many bytes that the output might not fit its offsets.
    """
    symbols = read_table(table)
    borders = read_offsets(offsets, offset_bits)
    check_values(borders, nbytes(data))
    num_bytes = borders[-1] - borders[0]
    if nbytes(out) // 2 < num_bytes:
        raise ValueError("fsst_encode: out needs room for twice the values")
    if num_bytes > (2**offset_bits - 1) // 2:
        raise ValueError("fsst_encode: too many bytes for the offsets")
    content = as_bytes(data).tobytes()
    values = [content[start:stop] for start, stop in pairwise(borders)]
    if symbols is not None:
        codes = {symbol: bytes([code]) for code, symbol in reversed(list(enumerate(symbols)))}
        known = frozenset(codes)
        values = [
            b"".join(codes.get(token) or bytes([ESCAPE]) + token for token in _parse(value, known))
            for value in values
        ]
    new_borders = [0]
    for value in values:
        new_borders.append(new_borders[-1] + len(value))
    write_offsets(out_offsets, offset_bits, new_borders)
    as_bytes(out)[: new_borders[-1]] = as_bytes(b"".join(values))
    return new_borders[-1]


def expand(value: bytes, symbols: list[bytes] | None) -> bytes:
    """Decompress one value."""
    if symbols is None:
        return value
    parts = []
    codes = iter(value)
    for code in codes:
        if code == ESCAPE:
            literal = next(codes, None)
            if literal is None:
                raise FormatError("fsst: a value ends in an escape")
            parts.append(bytes([literal]))
        elif code < len(symbols):
            parts.append(symbols[code])
        else:
            raise FormatError("fsst: a code has no symbol")
    return b"".join(parts)


def fsst_decode_offsets(table: Data, data: Data, offsets: Data, offset_bits: int, out_offsets: Data) -> int:
    """Check compressed values and compute where the decompressed ones begin.

    Parameters
    ----------
    table
        Symbol table of 2312 bytes.
    data, offsets, offset_bits
        The compressed values, as in :func:`fsst_train`.
    out_offsets
        ``num_values + 1`` integers of `offset_bits`, filled with offsets from 0.

    Returns
    -------
    int
        Bytes of all decompressed values.

    Raises
    ------
    FormatError
        The table or the offsets are corrupt, a code has no symbol, a value ends in an escape, or the total is
        above ``2 ** (offset_bits - 1) - 1``.
    ValueError
        A buffer has a wrong size, or `offset_bits` is unknown.
    """
    symbols = read_table(table)
    borders = read_offsets(offsets, offset_bits)
    if nbytes(out_offsets) != nbytes(offsets):
        raise ValueError("out_offsets: n + 1 integers are needed")
    check_values(borders, nbytes(data))
    content = as_bytes(data).tobytes()
    new_borders = [0]
    for start, stop in pairwise(borders):
        new_borders.append(new_borders[-1] + len(expand(content[start:stop], symbols)))
        if new_borders[-1] > 2 ** (offset_bits - 1) - 1:
            raise FormatError("fsst: the decoded values are too long for their offsets")
    write_offsets(out_offsets, offset_bits, new_borders)
    return new_borders[-1]


def fsst_decode(table: Data, data: Data, offsets: Data, offset_bits: int, out: Data) -> None:
    """Decompress values.

    The values are taken as one stream, whose parts :func:`fsst_decode_offsets` has checked one by one.

    Parameters
    ----------
    table
        Symbol table of 2312 bytes.
    data, offsets, offset_bits
        The compressed values, as in :func:`fsst_train`.
    out
        Exactly as many bytes as :func:`fsst_decode_offsets` returned.

    Raises
    ------
    FormatError
        The table or the offsets are corrupt, a code has no symbol, or the stream ends in an escape.
    ValueError
        `out` has another size than the values, or `offset_bits` is unknown.
    """
    symbols = read_table(table)
    borders = read_offsets(offsets, offset_bits)
    check_values(borders, nbytes(data))
    stream = as_bytes(data)[borders[0] : borders[-1]].tobytes()
    values = expand(stream, symbols)
    if nbytes(out) != len(values):
        raise ValueError("fsst_decode: out has another size than the values")
    as_bytes(out)[:] = as_bytes(values)


def fsst_decode_values(
    table: Data, data: Data, offsets: Data, offset_bits: int, out_offsets: Data, out: Data
) -> tuple[int, bool]:
    """Decompress values in one pass: what :func:`fsst_decode_offsets` and :func:`fsst_decode` do in two.

    Parameters
    ----------
    table
        Symbol table of 2312 bytes, not switched off.
    data, offsets, offset_bits
        The compressed values, as in :func:`fsst_train`.
    out_offsets
        As many offsets as there are in `offsets`: where each value begins in `out`, and the end.
    out
        Room for the values; what lies behind the last one may be written over.

    Returns
    -------
    tuple
        Bytes of all values, -1 when `out` has no room for them, or their offsets cannot count them; and whether all bytes are known
        to be ASCII, because the symbols of the table are, and the literal bytes among the codes.

    Raises
    ------
    FormatError
        The table or the offsets are corrupt, a code has no symbol, or a value ends in an escape.
    ValueError
        The table is switched off, `out_offsets` has another size, or `offset_bits` is unknown.
    """
    symbols = read_table(table)
    borders = read_offsets(offsets, offset_bits)
    if nbytes(out_offsets) != len(borders) * offset_bits // 8:
        raise ValueError("out_offsets: n + 1 integers are needed")
    check_values(borders, nbytes(data))
    if symbols is None:
        raise ValueError("fsst_decode_values: the table is switched off")
    room = min(nbytes(out), 2 ** (offset_bits - 1) - 1)
    stream, values, ends = as_bytes(data).tobytes(), bytearray(), [0]
    for start, stop in pairwise(borders):
        values += expand(stream[start:stop], symbols)
        if len(values) > room:
            return -1, False
        ends.append(len(values))
    as_bytes(out)[: len(values)] = as_bytes(values)
    as_values(out_offsets, offset_bits)[:] = ends
    return len(values), all(symbol.isascii() for symbol in symbols) and values.isascii()
