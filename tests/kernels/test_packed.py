"""Kernels of packed rows, both implementations: the example of compressors.md 5.4, random rows, corrupt input."""

from __future__ import annotations

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

ROW = "1b0000000200000061622a"


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    if request.param == "reference":
        return reference
    return pytest.importorskip("lancelet._native", reason="the kernels were not compiled")


def int64s(*values):
    return np.array(values, dtype=np.int64)


def bytes_of(text):
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8)


def offsets_of(lengths, width):
    return np.concatenate(([0], np.cumsum(lengths))).astype(f"<u{width}")


def fields_of(rng, widths, num_rows):
    """Return values and offsets of random fields."""
    values, offsets = [], []
    for width in widths:
        if width > 0:
            values.append(rng.integers(0, 256, num_rows * width, dtype=np.uint8))
            offsets.append(b"")
            continue
        lengths = rng.integers(0, 12, num_rows) * rng.integers(0, 2, num_rows)
        offsets.append(offsets_of(lengths, -width))
        values.append(rng.integers(0, 256, int(lengths.sum()), dtype=np.uint8))
    return values, offsets


def encode(kernels, values, offsets, widths, num_rows):
    borders = np.empty(num_rows + 1, np.int64)
    kernels.packed_encode_offsets(offsets, int64s(*widths), num_rows, borders)
    out = np.empty(int(borders[-1]), np.uint8)
    kernels.packed_encode(values, offsets, int64s(*widths), num_rows, out)
    return out, borders


def decode(kernels, data, borders, widths, offset_bits=32):
    num_rows = len(borders) - 1
    parts = (data, borders.astype(f"<u{offset_bits // 8}"), offset_bits, int64s(*widths), num_rows)
    offsets = [np.empty(num_rows + 1 if width < 0 else 0, f"<u{max(-width, 4)}") for width in widths]
    kernels.packed_decode_offsets(*parts, offsets)
    values = [
        np.empty(num_rows * width if width > 0 else int(own[-1]), np.uint8)
        for width, own in zip(widths, offsets, strict=True)
    ]
    kernels.packed_decode(*parts, values)
    return values, offsets


def test_fixed_example(kernels):
    values = [bytes_of("1b000000"), bytes_of("ca2edf4c73d9ef3f"), bytes_of("2a")]
    out = np.empty(13, np.uint8)
    kernels.packed_interleave(values, int64s(4, 8, 1), 1, out)
    assert out.tobytes().hex() == "1b000000ca2edf4c73d9ef3f2a"
    back = [np.empty(width, np.uint8) for width in (4, 8, 1)]
    kernels.packed_split(out, int64s(4, 8, 1), 1, back)
    assert [part.tobytes() for part in back] == [part.tobytes() for part in values]


def test_variable_example(kernels):
    values = [bytes_of("1b000000"), bytes_of("6162"), bytes_of("2a")]
    out, borders = encode(kernels, values, [b"", offsets_of([2], 4), b""], (4, -4, 1), 1)
    assert out.tobytes().hex() == ROW
    assert borders.tolist() == [0, 11]
    back, offsets = decode(kernels, out, borders, (4, -4, 1))
    assert [part.tobytes() for part in back] == [part.tobytes() for part in values]
    assert offsets[1].tolist() == [0, 2]


def test_rows_without_bytes(kernels):
    back, offsets = decode(kernels, bytes_of(ROW * 2), int64s(0, 0, 11, 11, 22, 22), (4, -4, 1))
    assert back[0].view("<i4").tolist() == [0, 27, 0, 27, 0]
    assert offsets[1].tolist() == [0, 0, 2, 2, 4, 4]
    assert back[1].tobytes() == b"abab"
    assert back[2].tolist() == [0, 42, 0, 42, 0]


def test_offsets_that_do_not_start_at_0(kernels):
    out, _ = encode(kernels, [b"xyabc"], [np.array([2, 4, 5], "<u8")], (-8,), 2)
    assert out.tobytes() == b"\x02" + bytes(7) + b"ab\x01" + bytes(7) + b"c"
    back, _ = decode(kernels, np.concatenate(([9, 9], out)).astype(np.uint8), int64s(2, 12, 21), (-8,), 64)
    assert back[0].tobytes() == b"abc"


@pytest.mark.parametrize("widths", [(1,), (2, 1), (4, 8, 1), (16, 3, 300, 8), (7, 20_000)])
@pytest.mark.parametrize("num_rows", [0, 1, 2, 777])
def test_fixed_rows_of_both(widths, num_rows):
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    num_rows = min(num_rows, 50) if sum(widths) > 10_000 else num_rows
    values, _ = fields_of(np.random.default_rng(num_rows), widths, num_rows)
    outs = []
    for kernels in (native, reference):
        out = np.empty(num_rows * sum(widths), np.uint8)
        kernels.packed_interleave(values, int64s(*widths), num_rows, out)
        outs.append(out)
        back = [np.empty_like(part) for part in values]
        kernels.packed_split(out, int64s(*widths), num_rows, back)
        assert all(map(np.array_equal, back, values))
    assert np.array_equal(*outs)


@pytest.mark.parametrize("widths", [(-4,), (-8, 1), (4, -4, 8, -8, 3), (16, -4, -4, 2)])
@pytest.mark.parametrize("num_rows", [0, 1, 500])
def test_variable_rows_of_both(widths, num_rows):
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    values, offsets = fields_of(np.random.default_rng(num_rows), widths, num_rows)
    (out, borders), (twin_out, twin_borders) = (
        encode(kernels, values, offsets, widths, num_rows) for kernels in (native, reference)
    )
    assert np.array_equal(out, twin_out)
    assert np.array_equal(borders, twin_borders)
    for kernels in (native, reference):
        for offset_bits in (32, 64):
            back, found = decode(kernels, out, borders, widths, offset_bits)
            assert all(map(np.array_equal, back, values))
            for width, own, other in zip(widths, found, offsets, strict=True):
                assert width > 0 or np.array_equal(own, other)


@pytest.mark.parametrize(
    ("row", "borders", "message"),
    [
        (ROW, (0, 12), "past the data"),
        (ROW, (3, 2), "decrease"),
        (ROW[:-2], (0, 10), "past its row"),
        (ROW[:6], (0, 3), "past its row"),
        (ROW[:14], (0, 7), "past its row"),
        (ROW + "00", (0, 12), "after its last field"),
        ("1b0000000300000061622a", (0, 11), "past its row"),
        ("1b0000000100000061622a", (0, 11), "after its last field"),
        ("1b000000ffffffff61622a", (0, 11), "past its row"),
    ],
)
def test_corrupt_rows(kernels, row, borders, message):
    with pytest.raises(FormatError, match=message):
        decode(kernels, bytes_of(row), int64s(*borders), (4, -4, 1))
    parts = (bytes_of(row), np.array(borders, "<u4"), 32, int64s(4, -4, 1), 1)
    with pytest.raises(FormatError, match=message):
        kernels.packed_decode(*parts, [bytearray(4), bytearray(12), bytearray(1)])


def test_corrupt_long_length(kernels):
    with pytest.raises(FormatError, match="past its row"):
        decode(kernels, bytes_of("ff" * 8), int64s(0, 8), (-8,))
    with pytest.raises(FormatError, match="past its row"):
        decode(kernels, bytes_of("ff" * 7 + "7f"), int64s(0, 8), (-8,), 64)


def test_bad_offsets_of_values(kernels):
    for offsets in (np.array([2, 1], "<u4"), np.array([0, 4], "<u4")):
        with pytest.raises(FormatError):
            kernels.packed_encode([b"abc"], [offsets], int64s(-4), 1, bytearray(8))
    with pytest.raises(FormatError):
        kernels.packed_encode_offsets([np.array([2, 1], "<u4")], int64s(-4), 1, np.empty(2, np.int64))
    with pytest.raises(FormatError):
        kernels.packed_encode_offsets([np.array([0, 2**63], "<u8")], int64s(-8), 1, np.empty(2, np.int64))


def out(size):
    return np.empty(size, np.uint8)


@pytest.mark.parametrize(
    "call",
    [
        lambda k: k.packed_interleave([], int64s(), 0, out(0)),
        lambda k: k.packed_interleave([b"a"], int64s(0), 1, out(0)),
        lambda k: k.packed_interleave([b"a"], int64s(1), -1, out(0)),
        lambda k: k.packed_interleave([b"a"], int64s(-4), 1, out(4)),
        lambda k: k.packed_interleave([b"a"], int64s(1, 1), 1, out(2)),
        lambda k: k.packed_interleave([b"ab"], int64s(1), 1, out(1)),
        lambda k: k.packed_interleave([b"a"], int64s(1), 1, out(2)),
        lambda k: k.packed_interleave([b"a"], int64s(1 << 36), 1 << 40, out(2)),
        lambda k: k.packed_split(b"ab", int64s(1), 1, [out(1)]),
        lambda k: k.packed_split(b"a", int64s(1), 1, [out(2)]),
        lambda k: k.packed_split(b"a", int64s(-8), 1, [out(1)]),
        lambda k: k.packed_split(b"a", int64s(1), 1, []),
        lambda k: k.packed_encode_offsets([b"aaaa"], int64s(4), 1, np.empty(2, np.int64)),
        lambda k: k.packed_encode_offsets([bytes(8)], int64s(-4), 1, np.empty(1, np.int64)),
        lambda k: k.packed_encode_offsets([bytes(8)], int64s(-4), 2, np.empty(3, np.int64)),
        lambda k: k.packed_encode_offsets([bytes(8)], int64s(-3), 1, np.empty(2, np.int64)),
        lambda k: k.packed_encode([b""], [bytes(8)], int64s(-4), 1, out(5)),
        lambda k: k.packed_encode([b"ab"], [b""], int64s(1), 1, out(1)),
        lambda k: k.packed_encode([], [b""], int64s(1), 1, out(1)),
        lambda k: k.packed_decode_offsets(b"a", bytes(8), 33, int64s(1), 1, [out(0)]),
        lambda k: k.packed_decode_offsets(b"a", bytes(8), 32, int64s(1), 1, [out(8)]),
        lambda k: k.packed_decode_offsets(b"a", bytes(8), 32, int64s(-4), 1, [out(4)]),
        lambda k: k.packed_decode_offsets(b"a", bytes(8), 32, int64s(1), 2, [out(0)]),
        lambda k: k.packed_decode_offsets(b"a", bytes(8), 32, int64s(1), 1, []),
        lambda k: k.packed_decode(b"", bytes(8), 32, int64s(2), 1, [out(1)]),
        lambda k: k.packed_decode(b"", bytes(8), 32, int64s(-4), 1, [out(1)]),
        lambda k: k.packed_decode(
            bytes_of("0100000041"), np.array([0, 5], "<u4"), 32, int64s(-4), 1, [out(0)]
        ),
    ],
)
def test_broken_contracts(kernels, call):
    with pytest.raises(ValueError) as caught:
        call(kernels)
    assert not isinstance(caught.value, FormatError)


def test_outputs_must_be_writable():
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    with pytest.raises(TypeError):
        native.packed_split(b"a", int64s(1), 1, [b"a"])
    with pytest.raises(TypeError):
        native.packed_interleave([np.arange(4)[::2]], int64s(16), 1, out(16))
    with pytest.raises(TypeError):
        native.packed_interleave(3, int64s(16), 1, out(16))
