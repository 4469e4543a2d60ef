"""Copies of uncompressed zstd frames, native and reference: what is taken is what the library gives, byte for byte."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest

from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")

both = pytest.mark.parametrize("kernels", [native, reference], ids=["native", "reference"])

MAGIC = b"\x28\xb5\x2f\xfd"
SINGLE = 0x20
RAW, RLE, COMPRESSED, RESERVED = range(4)
BLOCK = 1 << 17
ZSTD = pa.Codec("zstd")

#: The room of values that are not taken keeps it.
FILL = 0xA5


def block(kind, size, content, last=False):
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3] + content


def raw(content, last=False):
    return block(RAW, len(content), content, last)


def frame(size, *blocks, code=2, flags=SINGLE, window=b""):
    """Make a frame; `code` says in how many bytes its size stands."""
    stated = (size - 256 if code == 1 else size).to_bytes(1 << code, "little")
    return MAGIC + bytes([code << 6 | flags]) + window + stated + b"".join(blocks)


def buffer(size, frame):
    return struct.pack("<Q", size) + frame


def copy(kernels, buffers, sizes):
    """Return which values were taken, and all the output."""
    out = np.full(sum(sizes), FILL, dtype=np.uint8)
    taken = bytearray(b"\x07" * len(buffers))
    num_taken = kernels.zstd_copy_raw(buffers, np.array(sizes, dtype=np.int64), out, taken)
    assert num_taken == sum(taken)
    assert set(taken) <= {0, 1}
    return list(taken), out.tobytes()


def library(frame, size):
    """Return what the library makes of a frame; ``None`` when it refuses it."""
    try:
        value = ZSTD.decompress(frame, size, asbytes=True)
    except (OSError, pa.ArrowException):
        return None
    return value if len(value) == size else None


def take(kernels, frame, size):
    """Return the value, ``None`` when it is not taken; the library must agree, and the room of others stay as it was."""
    taken, out = copy(kernels, [buffer(size, frame)], [size])
    if not taken[0]:
        assert out == bytes([FILL]) * size
        return None
    assert out == library(frame, size)
    return out


@both
def test_example(kernels):
    stored = frame(8, raw(b"abc"), block(RLE, 5, b"-", last=True))
    assert take(kernels, stored, 8) == b"abc-----"


@both
@pytest.mark.parametrize(
    "size", [1, 2, 255, 256, 257, 65791, 65792, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 17]
)
def test_incompressible_values_are_taken(kernels, size):
    value = np.random.default_rng(size).bytes(size)
    assert take(kernels, ZSTD.compress(value, asbytes=True), size) == value


@both
def test_mixes(kernels):
    rng = np.random.default_rng(5)
    values, expected = [], []
    for i in range(200):
        size = int(rng.integers(1, 5000)) if i % 20 else BLOCK + i
        values.append((rng.bytes(size), b"text " * size, b"", bytes(size))[int(rng.integers(4))])
    buffers = [buffer(len(value), ZSTD.compress(value, asbytes=True)) for value in values]
    taken, out = copy(kernels, buffers, list(map(len, values)))
    for value, done in zip(values, taken, strict=True):
        expected.append(value if done else bytes([FILL]) * len(value))
    assert out == b"".join(expected)
    assert 0 < sum(taken) < len(taken)
    assert copy(kernels, [], []) == ([], b"")


TAKEN = {
    "size in 1 byte": (frame(3, raw(b"abc", True), code=0), 3),
    "size in 2 bytes": (frame(300, raw(b"abc" * 100, True), code=1), 300),
    "size in 8 bytes": (frame(3, raw(b"abc", True), code=3), 3),
    "a window of 1 KiB": (frame(1024, raw(b"abcd" * 256, True), flags=0, window=b"\0"), 1024),
    "a window and a mantissa": (frame(1152, raw(b"abcd" * 288, True), flags=0, window=b"\1"), 1152),
    "a window of 128 MiB": (frame(3, raw(b"abc", True), flags=0, window=b"\x88"), 3),
    "an empty last block": (frame(3, raw(b"abc"), raw(b"", True)), 3),
    "full blocks": (frame(2 * BLOCK, raw(bytes(BLOCK)), block(RLE, BLOCK, b"x", True)), 2 * BLOCK),
}

#: Frames that the library reads, and that are left to it.
LEFT = {
    "nothing": (frame(0, raw(b"", True)), 0),
    "no size": (MAGIC + b"\0\0" + raw(b"abc", True), 3),
    "a checksum": (frame(3, raw(b"abc", True), flags=SINGLE | 4) + b"\x99\x09\x77\xad", 3),
    "dictionary 0": (MAGIC + b"\xa1\0" + struct.pack("<I", 3) + raw(b"abc", True), 3),
    "a bit without meaning": (frame(3, raw(b"abc", True), flags=SINGLE | 0x10), 3),
    "a window above 128 MiB": (frame(3, raw(b"abc", True), flags=0, window=b"\x90"), 3),
    "two frames": (frame(3, raw(b"abc", True)) + frame(2, raw(b"de", True)), 5),
    "a skippable frame behind": (frame(3, raw(b"abc", True)) + b"\x50\x2a\x4d\x18\x02\0\0\0hi", 3),
    "a skippable frame before": (b"\x50\x2a\x4d\x18\x02\0\0\0hi" + frame(3, raw(b"abc", True)), 3),
    "the size that stands for none": (frame(2**64 - 1, raw(b"abc", True), code=3), 3),
    "compressed": (ZSTD.compress(b"abc" * 1000, asbytes=True), 3000),
}

#: Frames that nobody reads.
REFUSED = {
    "no bytes": (b"", 3),
    "other magic": (b"\x27" + frame(3, raw(b"abc", True))[1:], 3),
    "a wrong checksum": (frame(3, raw(b"abc", True), flags=SINGLE | 4) + b"\x98\x09\x77\xad", 3),
    "checksum missing": (frame(3, raw(b"abc", True), flags=SINGLE | 4), 3),
    "a dictionary": (MAGIC + b"\xa1\7" + struct.pack("<I", 3) + raw(b"abc", True), 3),
    "reserved bit": (frame(3, raw(b"abc", True), flags=SINGLE | 8), 3),
    "reserved block": (frame(3, block(RESERVED, 3, b"abc", True)), 3),
    "the largest window": (frame(3, raw(b"abc", True), flags=0, window=b"\xff"), 3),
    "no blocks": (frame(3), 3),
    "no last block": (frame(3, raw(b"abc")), 3),
    "too few bytes": (frame(4, raw(b"abc", True)), 4),
    "too many bytes": (frame(2, raw(b"abc", True)), 2),
    "too long a run": (frame(2, block(RLE, 3, b"a", True)), 2),
    "a run of nothing given": (frame(3, block(RLE, 3, b"", True)), 3),
    "a raw block cut": (frame(3, block(RAW, 3, b"ab", True)), 3),
    "a byte behind": (frame(3, raw(b"abc", True)) + b"\0", 3),
    "another size": (frame(3, raw(b"abc", True)), 4),
    "size less 256": (frame(65535 + 256, raw(b"abc", True), code=1), 3),
    "a huge size": (frame(2**63, raw(b"abc", True), code=3), 3),
}


@both
@pytest.mark.parametrize("name", TAKEN)
def test_taken(kernels, name):
    stored, size = TAKEN[name]
    assert take(kernels, stored, size) is not None


@both
@pytest.mark.parametrize("name", LEFT)
def test_left_to_the_library(kernels, name):
    stored, size = LEFT[name]
    assert library(stored, size) is not None
    assert take(kernels, stored, size) is None


@both
@pytest.mark.parametrize("name", REFUSED)
def test_refused(kernels, name):
    stored, size = REFUSED[name]
    assert library(stored, size) is None
    assert take(kernels, stored, size) is None


@both
def test_blocks_above_the_limit_are_not_taken(kernels):
    """Versions of the library differ in what they say to these."""
    for size, flags, window in ((BLOCK + 1, SINGLE, b""), (BLOCK + 1, 0, b"\x88"), (1025, 0, b"\0")):
        for only in (raw(bytes(size), True), block(RLE, size, b"a", True)):
            stored = frame(size, only, flags=flags, window=window)
            assert copy(kernels, [buffer(size, stored)], [size])[0] == [0]
    empty_run = frame(3, block(RLE, 0, b"a"), raw(b"abc", True))
    assert copy(kernels, [buffer(3, empty_run)], [3])[0] == [0]


@both
def test_the_size_in_front_counts(kernels):
    stored = frame(3, raw(b"abc", True))
    for size in (0, 2, 4, 3 + 2**32, 2**64 - 1):
        assert copy(kernels, [buffer(size, stored)], [3])[0] == [0]
    assert copy(kernels, [stored], [3])[0] == [0]


@both
def test_others_do_not_move_a_value(kernels):
    good, bad = buffer(3, frame(3, raw(b"abc", True))), buffer(4, frame(4, raw(b"abc", True)))
    taken, out = copy(kernels, [bad, good, b"", good, bad], [4, 3, 0, 3, 4])
    assert taken == [0, 1, 0, 1, 0]
    fill = bytes([FILL]) * 4
    assert out == fill + b"abc" + b"abc" + fill


@both
@pytest.mark.parametrize(
    ("sizes", "room", "num_taken"),
    [([3], 2, 1), ([3], 4, 1), ([-1], 3, 1), ([2**63 - 1], 3, 1), ([3, 3], 6, 1), ([], 0, 0), ([3], 3, 2)],
)
def test_broken_contracts(kernels, sizes, room, num_taken):
    buffers = [buffer(3, frame(3, raw(b"abc", True)))]
    out = np.zeros(room, dtype=np.uint8)
    with pytest.raises(ValueError, match="zstd_copy_raw"):
        kernels.zstd_copy_raw(buffers, np.array(sizes, dtype=np.int64), out, bytearray(num_taken))


def bases():
    """Frames with every kind of head, each with its size."""
    content = raw(b"abcdefg"), block(RLE, 9, b"-"), raw(b""), raw(b"hij", True)
    for code in (0, 2, 3):
        yield frame(19, *content, code=code), 19
    yield frame(300, raw(b"a" * 200), block(RLE, 100, b"b", True), code=1), 300
    yield frame(19, *content, flags=0, window=b"\x20"), 19
    yield ZSTD.compress(np.random.default_rng(1).bytes(40), asbytes=True), 40


def agree(stored, size):
    """Both kernels do the same, and nothing that the library would not; says whether the value was taken."""
    found = take(native, stored, size)
    assert found == take(reference, stored, size)
    return found is not None


def test_every_byte_changed():
    num_taken = 0
    for stored, size in bases():
        assert agree(stored, size)
        for position in range(min(len(stored), 40)):
            for byte in range(256):
                num_taken += agree(stored[:position] + bytes([byte]) + stored[position + 1 :], size)
    assert num_taken > 256  # the content itself may be anything


def test_every_cut_and_any_rest():
    for stored, size in bases():
        for stop in range(len(stored)):
            assert not agree(stored[:stop], size)
            cut = buffer(size, stored)[:stop]
            assert copy(native, [cut], [size]) == copy(reference, [cut], [size])
        for rest in (b"\0", MAGIC, stored, raw(b"", True), bytes(20)):
            assert not agree(stored + rest, size)


def test_random_damage():
    rng = np.random.default_rng(7)
    frames = list(bases())
    for _ in range(3000):
        stored, size = frames[int(rng.integers(len(frames)))]
        bad = bytearray(stored)
        for _ in range(int(rng.integers(1, 4))):
            bad[int(rng.integers(min(len(bad), 30)))] = int(
                rng.choice([0, 1, 2, 3, 8, 0x20, 0xFF, rng.integers(256)])
            )
        agree(bytes(bad), size + int(rng.integers(-1, 2)))
