"""Clock, page cache and memory of a process, from ``/proc`` (Linux)."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Timing:
    """What a piece of work took, per repetition.

    Parameters
    ----------
    seconds
        Wall time.
    cpu_seconds
        Processor time of all threads.
    repetitions
        How often the work was done.
    """

    seconds: float
    cpu_seconds: float
    repetitions: int


def timed(work: Callable[[int], object], repetitions: int, most_seconds: float) -> Timing:
    """Do ``work(i)`` for i = 0, 1, ...: `repetitions` times, fewer once `most_seconds` are over, at least once."""
    cpu_start = time.process_time()
    start = time.perf_counter()
    done = 0
    seconds = 0.0
    while done < repetitions and (done == 0 or seconds < most_seconds):
        work(done)
        done += 1
        seconds = time.perf_counter() - start
    return Timing(seconds / done, (time.process_time() - cpu_start) / done, done)


def private_bytes(pid: int) -> int:
    """Return the memory that belongs to a process alone: its resident anonymous pages (``RssAnon``).

    Mapped files count as page cache and not here, whoever mapped them.
    """
    return _status_bytes(pid, b"RssAnon:")


def peak_resident_bytes(pid: int) -> int:
    """Return the most memory that was resident since :func:`forget_peak` (``VmHWM``), mapped files included."""
    return _status_bytes(pid, b"VmHWM:")


def _status_bytes(pid: int, key: bytes) -> int:
    status = Path(f"/proc/{pid}/status").read_bytes()
    start = status.index(key) + len(key)
    return 1024 * int(status[start : status.index(b"kB", start)])


def forget_peak() -> None:
    """Let the peak of this process's resident memory start at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


class PrivatePeak:
    """Samples the private memory of another process every 2 ms, from a thread of this one; a context manager.

    The process that is watched spends nothing on it, and a library that holds Python's lock cannot hide.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.peak_bytes = max(self.peak_bytes, private_bytes(self._pid))
            time.sleep(SAMPLE_SECONDS)

    def __enter__(self) -> PrivatePeak:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()


def write_back(path: Path) -> None:
    """Wait until a file is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def drop_from_cache(path: Path) -> float:
    """Drop a file that is on disk from the page cache; return the share of it that stayed (mapped pages do)."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return cached_share(path)


def read_into_cache(path: Path) -> None:
    """Read a file, so that it is in the page cache."""
    with path.open("rb", buffering=0) as file:
        block = bytearray(1 << 20)
        while file.readinto(block):
            pass


def cached_share(path: Path) -> float:
    """Return the share of a file's pages that are in the page cache."""
    size = path.stat().st_size
    num_pages = -(-size // mmap.PAGESIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE) as mapped:
        address = ctypes.c_char.from_buffer(mapped)
        resident = ctypes.create_string_buffer(num_pages)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(address)), ctypes.c_size_t(size), resident)
        del address
    if failed:
        raise OSError(ctypes.get_errno(), "mincore")
    return sum(page & 1 for page in resident.raw) / num_pages
