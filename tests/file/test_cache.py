"""Opened pages that are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import lancelet
from lancelet.file.cache import PageCache, held_bytes


@dataclass(frozen=True)
class Page:
    """What a page may hold."""

    num_rows: int
    words: np.ndarray
    items: object = None


def page(num_bytes):
    return Page(1, np.zeros(num_bytes, np.uint8))


def test_pages_are_weighed():
    base = held_bytes(Page(1, np.zeros(0)))
    assert held_bytes(page(1000)) == base + 1000
    assert held_bytes(Page(1, np.zeros(10), page(50))) == base + 130
    assert held_bytes(Page(1, memoryview(b"123"), b"12345")) == base + 8


def test_what_was_used_last_is_kept():
    cache = PageCache(10_000)
    pages = [page(3000) for _ in range(4)]
    for number in range(2):
        assert cache.put((0, number), pages[number], 4000) is pages[number]
    assert cache.get((0, 0)) is pages[0]
    cache.put((0, 2), pages[2], 4000)
    assert cache.get((0, 1)) is None
    assert cache.get((0, 0)) is pages[0]
    assert cache.put((0, 0), pages[3], 4000) is pages[0]


def test_a_page_that_is_too_large_is_kept_alone():
    cache, large = PageCache(1000), page(5000)
    cache.put((0, 0), page(10), 10)
    cache.put((0, 1), large, 5000)
    assert cache.get((0, 1)) is large
    assert cache.get((0, 0)) is None


def test_reading_goes_on_when_nothing_can_be_kept(monkeypatch):
    monkeypatch.setattr("lancelet.file.cache.DEFAULT_CACHE_BYTES", 0)
    table = pa.table({"n": list(range(5000)), "s": [str(i % 9) for i in range(5000)]})
    file = lancelet.encode_batch(table, max_page_bytes=1000).to_self_described()
    reader = lancelet.FileReader(file)
    for _ in range(2):
        assert reader.read_all().to_table().equals(table)
        assert reader.take_rows([4999, 0]).to_table().equals(table.take([4999, 0]))
