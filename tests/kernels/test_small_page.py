from __future__ import annotations

import numpy as np
import pytest

from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")
NO_LEVELS = np.empty(0, np.uint16)


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    return native if request.param == "native" else reference


def small(kernels, data, num_values, bits, packed, chunk_values, def_=NO_LEVELS, large=True, room=1 << 20):
    words = np.zeros(max(-(-num_values // chunk_values), 0) * (4 if large else 2), np.uint8)
    out = np.zeros(room, np.uint8)
    size = kernels.miniblock_small(data, num_values, bits, packed, chunk_values, def_, large, words, out)
    return None if size < 0 else (words.tobytes(), out[:size].tobytes())


def separately(data, num_values, bits, packed, chunk_values, def_, large):
    """Do what the kernel does with the kernels that it joins."""
    counts = np.full(-(-num_values // chunk_values), chunk_values, np.int64)
    counts[-1] = num_values - (len(counts) - 1) * chunk_values
    parts = []
    for part, part_bits in [(def_, 16)] * bool(len(def_)) + [(data, bits)]:
        if part_bits == bits and part is data and not packed:
            parts.append((data, -(-counts * bits // 8)))
            continue
        widths = np.empty(len(counts), np.uint8)
        native.block_widths(part, counts, part_bits, widths)
        sizes = part_bits // 8 + 128 * widths.astype(np.int64)
        out = np.empty(int(sizes.sum()), np.uint8)
        native.inline_pack(part, counts, part_bits, widths, out)
        parts.append((out, sizes))
    sizes = [part_sizes for _, part_sizes in parts]
    words = np.empty((4 if large else 2) * len(counts), np.uint8)
    size = native.miniblock_words(counts, counts, sizes, len(parts) - 1, large, words)
    out = np.empty(size, np.uint8)
    native.miniblock_frame(counts, [part for part, _ in parts], sizes, len(parts) - 1, large, out)
    return words.tobytes(), out.tobytes()


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("has_levels", [True, False])
@pytest.mark.parametrize(
    ("bits", "packed", "chunk_values"),
    [
        (1, False, 4096),
        (8, True, 1024),
        (16, True, 1024),
        (32, True, 512),
        (64, True, 1024),
        (64, False, 512),
        (24, False, 2),
    ],
)
@pytest.mark.parametrize("num_values", [1, 7, 1000, 1024, 2500])
def test_small_pages_are_those_of_the_general_way(
    kernels, bits, packed, chunk_values, has_levels, large, num_values
):
    rng = np.random.default_rng(num_values * bits)
    data = rng.integers(0, 100, -(-num_values * bits // 8), np.uint8)
    def_ = (
        rng.integers(0, 2, num_values).astype(np.uint16) if has_levels and chunk_values <= 1024 else NO_LEVELS
    )
    arguments = data, num_values, bits, packed, chunk_values, def_, large
    assert small(kernels, *arguments) == separately(*arguments)


def test_small_pages_break_the_limits_of_chunks(kernels):
    data = np.zeros(40_000, np.uint8)
    assert small(kernels, data, 40_000, 8, False, 32_768, large=False) is None
    assert small(kernels, data, 40_000, 8, False, 32_768, large=True) is not None


@pytest.mark.parametrize(
    ("num_values", "bits", "packed", "chunk_values", "num_levels", "room"),
    [
        (0, 8, True, 1024, 0, 4096),
        (100, 8, True, 1, 0, 4096),
        (100, 8, True, 1024, 99, 4096),
        (100, 12, False, 1024, 0, 4096),
        (100, 0, False, 1024, 0, 4096),
        (100, 24, True, 1024, 0, 4096),
        (101, 8, True, 1024, 0, 4096),
        (800, 1, False, 4, 0, 65536),
        (100, 8, False, 1024, 0, 100),
    ],
)
def test_small_pages_refuse_broken_arguments(
    kernels, num_values, bits, packed, chunk_values, num_levels, room
):
    levels = np.zeros(num_levels, np.uint16)
    with pytest.raises(ValueError):
        small(kernels, bytes(100), num_values, bits, packed, chunk_values, levels, room=room)


def test_small_pages_refuse_blocks_of_more_than_1024_values(kernels):
    with pytest.raises(ValueError):
        small(kernels, bytes(2048), 2048, 8, True, 2048)
