"""Parts of a file that go to the disk before the file is whole."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["start_write_back"]

#: ``SYNC_FILE_RANGE_WRITE`` of Linux: begin to write what is changed, wait for nothing.
_WRITE = 2


def start_write_back(descriptor: int, position: int, size: int) -> None:
    """Have the system begin to write a part of a file to the disk, where it can be told to.

    Without it, what was written stays in memory until somebody waits for the whole file, and the disk is idle meanwhile. It is
    advice: it says nothing of what has reached the disk, and errors come out when the file is synchronised.

    Parameters
    ----------
    descriptor
        The open file.
    position, size
        The part, in bytes.
    """
    sync_file_range = _sync_file_range()
    if sync_file_range is not None:
        sync_file_range(descriptor, position, size, _WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):  # a system library without it
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function
