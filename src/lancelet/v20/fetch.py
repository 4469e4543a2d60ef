"""Reads that go in steps, where what to read next depends on what was read before.

A :data:`Fetch` is a generator: it gives the byte ranges that it needs, is sent their bytes, and so on until it returns its
result. It plans and decodes, and does no input itself. :func:`together` runs many in step, so that all columns of a read share
one request a step; :func:`run` does the input.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, TypeVar

from lancelet.pages.base import ByteRange
from lancelet.storage.coalesce import fetch as fetch_ranges

if TYPE_CHECKING:
    from lancelet.buffers import Data
    from lancelet.storage import Source

__all__ = ["Fetch", "run", "together"]

T = TypeVar("T")

#: Gives byte ranges, is sent their bytes in the same order, returns a result.
Fetch = Generator[Sequence[ByteRange], "Sequence[Data]", T]


def together(fetches: Sequence[Fetch[T]]) -> Fetch[list[T]]:
    """Run `fetches` in step: each request has the ranges of all that are not done; returns their results in order."""
    results: dict[int, T] = {}
    waiting: list[tuple[int, Fetch[T], Sequence[ByteRange]]] = []
    for index, fetch in enumerate(fetches):
        try:
            waiting.append((index, fetch, next(fetch)))
        except StopIteration as stop:
            results[index] = stop.value
    while waiting:
        data = yield [range_ for _, _, ranges in waiting for range_ in ranges]
        still, at = [], 0
        for index, fetch, ranges in waiting:
            try:
                still.append((index, fetch, fetch.send(data[at : at + len(ranges)])))
            except StopIteration as stop:
                results[index] = stop.value
            at += len(ranges)
        waiting = still
    return [results[index] for index in range(len(fetches))]


def run(fetch: Fetch[T], source: Source) -> T:
    """Run `fetch`, one request to `source` a step; returns its result."""
    try:
        ranges = next(fetch)
        while True:
            ranges = fetch.send(fetch_ranges(source, ranges))
    except StopIteration as stop:
        result: T = stop.value
        return result
