"""Bytes in memory: what counts as data, and where output comes from.

*Data* is any C-contiguous object of the buffer protocol (``bytes``, ``memoryview``, ``pyarrow.Buffer``, numpy arrays). Kernels take
it as it is; ``nbytes`` tells its size. Output comes from Arrow's default memory pool, which keeps and reuses memory: fresh pages
are what costs.
"""

from __future__ import annotations

from collections.abc import Callable
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


def allocate(num_bytes: int) -> Any:
    """Return a writable ``pyarrow.Buffer`` of `num_bytes` uninitialised bytes from Arrow's default pool."""
    return pa.allocate_buffer(num_bytes)


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
