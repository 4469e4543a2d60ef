"""What can be read, and what can be written: one object at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from lancelet.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from lancelet.buffers import Allocate, Data

__all__ = ["Sink", "Source", "WrappedSource"]


class Source(ABC):
    """One readable object of a known size that does not change. Threads may share it.

    Attributes
    ----------
    name
        How errors call the object: its path, or what kind of object it is.
    gives_views
        Whether reads are views of memory, which cost nothing at any size.
    copies_scattered
        Whether :meth:`read_copies` is cheaper than to touch small views that lie far apart.
    gap_bytes
        Most unwanted bytes that are cheaper to read than another request; see :func:`~lancelet.storage.coalesce.fetch`.
    most_bytes
        Most bytes of a request that serves several ranges: above it, the fixed cost of a request does not matter.
    """

    name: str
    gives_views: bool = False
    copies_scattered: bool = False
    gap_bytes: int = 16 << 10
    most_bytes: int = 1 << 20

    @abstractmethod
    def size(self) -> int:
        """Return the size in bytes."""

    @abstractmethod
    def read(self, position: int, size: int) -> memoryview:
        """Return exactly `size` bytes from `position` on: a view where that is possible, else a copy.

        The view stays valid after :meth:`close`.

        Raises
        ------
        FormatError
            The bytes do not lie inside of the object, or the object has shrunk.
        """

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read several ``(position, size)``, in the order given."""
        return [self.read(position, size) for position, size in ranges]

    def read_copies(self, runs: Sequence[Sequence[tuple[int, int]]], allocate: Allocate) -> Iterator[Data]:
        """Copy the ``(position, size)`` of each run, back to back, to memory of its own; nothing around them is read soon.

        Parameters
        ----------
        runs
            The ranges of each run.
        allocate
            Where memory comes from, run by run.

        Yields
        ------
        Data
            What a run holds, writable.

        Raises
        ------
        FormatError
            As :meth:`read` does.
        """
        for ranges in runs:
            buffer = allocate(sum([size for _, size in ranges]))
            target, start = memoryview(buffer).cast("B"), 0
            for view in self.read_ranges(ranges):
                target[start : start + len(view)] = view
                start += len(view)
            yield buffer

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:  # noqa: B027 - most sources have nothing to prepare
        """Say that these ``(position, size)`` are read next, and nothing around them.

        A hint: ranges that do not exist are ignored here, and refused when they are read.
        """

    def release(self, ranges: Sequence[tuple[int, int]]) -> None:  # noqa: B027 - most sources hold nothing
        """Say that these ``(position, size)``, which were read, will hardly be looked at again.

        A hint: views of them stay valid.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up what is held open. Harmless when repeated."""

    def _check_range(self, position: int, size: int) -> None:
        if position < 0 or size < 0 or position > self.size() - size:
            raise FormatError(
                f"{size} bytes at {position} do not lie inside of the {self.size()} bytes there are",
                path=self.name,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WrappedSource(Source):
    """A source that reads from another one, and passes on what it does not do itself.

    Parameters
    ----------
    source
        Where the bytes come from; closed with this one.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source

    def size(self) -> int:
        """Return the size in bytes."""
        return self._source.size()

    def read(self, position: int, size: int) -> memoryview:
        """Return exactly `size` bytes from `position` on; see :meth:`Source.read`."""
        return self.read_ranges([(position, size)])[0]

    @abstractmethod
    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read several ``(position, size)``, in the order given."""

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Pass the hint on."""
        self._source.prefetch(ranges)

    def release(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Pass the hint on."""
        self._source.release(ranges)

    def close(self) -> None:
        """Close the source behind."""
        self._source.close()


class Sink(ABC):
    """One object that is written front to back and appears under its name as a whole, or not at all.

    A sink that is dropped without :meth:`commit` is aborted. As a context manager it never commits by itself:
    what was not committed when the block ends is aborted.
    """

    name: str

    @abstractmethod
    def write(self, data: Data) -> None:
        """Append `data`. The caller may change or free it after the call."""

    def flush(self) -> None:  # noqa: B027 - most sinks keep nothing back
        """Hand on what was kept back to be written together. Nothing becomes visible by that."""

    @abstractmethod
    def tell(self) -> int:
        """Return how many bytes were written."""

    @abstractmethod
    def commit(self) -> None:
        """Make the object durable and visible. Nothing can be written afterwards; harmless when repeated."""

    @abstractmethod
    def abort(self) -> None:
        """Leave nothing behind, as far as possible. Harmless when repeated or after :meth:`commit`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
