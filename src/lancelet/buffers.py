"""Bytes in memory: what counts as data, and where output comes from.

*Data* is any C-contiguous object of the buffer protocol (``bytes``, ``memoryview``, ``pyarrow.Buffer``, numpy arrays). Kernels take
it as it is; ``nbytes`` tells its size. Output comes from Arrow's default memory pool, which keeps and reuses memory: fresh pages
are what costs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from mmap import PAGESIZE
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt
    from typing_extensions import Buffer

    Data: TypeAlias = Buffer
    Int64Array = npt.NDArray[np.int64]
    UInt8Array = npt.NDArray[np.uint8]
    UInt16Array = npt.NDArray[np.uint16]

__all__ = ["EMPTY", "Allocate", "allocate", "as_bytes", "as_values", "nbytes", "total"]

#: A function ``(num_bytes) -> writable pyarrow.Buffer``.
Allocate = Callable[[int], Any]

EMPTY = b""

_LARGE_BYTES = 1 << 20
_MADV_NOHUGEPAGE = 15


def allocate(num_bytes: int) -> Any:
    """Return a writable ``pyarrow.Buffer`` of `num_bytes` uninitialised bytes from Arrow's default pool."""
    buffer = pa.allocate_buffer(num_bytes)
    if num_bytes >= _LARGE_BYTES:
        _refuse_huge_pages(buffer)
    return buffer


def _refuse_huge_pages(buffer: pa.Buffer) -> None:
    """Have the system back a large buffer with small pages, and only advise: it does not matter whether the call succeeds.

    Arrow's pool asks for huge ones. The first touch of each then waits until the system has found, or made, 2 MiB of free memory in
    one piece: a table of 1.1 GB took 0.6 to 2.6 s, against 0.35 to 0.75 s with small pages, whose faults two threads share.
    """
    madvise = _madvise()
    if madvise is not None:
        start = -(-buffer.address // PAGESIZE) * PAGESIZE
        stop = (buffer.address + buffer.size) // PAGESIZE * PAGESIZE
        madvise(start, stop - start, _MADV_NOHUGEPAGE)


@cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """Return the system call, or ``None`` where there are no huge pages to refuse."""
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        function = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def nbytes(data: Data) -> int:
    """Return the size of `data` in bytes."""
    return memoryview(data).nbytes


def total(counts: Int64Array) -> int:
    """Return the sum of `counts`; reads of a few rows have one, and no time for a reduction."""
    return int(counts[0]) if len(counts) == 1 else int(counts.sum())


def as_bytes(data: Data) -> UInt8Array:
    """View `data` as ``uint8[nbytes]`` without copying."""
    return np.frombuffer(memoryview(data), dtype=np.uint8)


def as_values(data: Data, bits: int) -> npt.NDArray[Any]:
    """View `data` as unsigned integers of `bits` (8, 16, 32 or 64) without copying."""
    return np.frombuffer(memoryview(data), dtype=f"<u{bits // 8}")
