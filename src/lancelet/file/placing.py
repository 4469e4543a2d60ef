"""From page tasks to pages in the file: encoded on worker threads, placed in the order of the tasks.

The bytes of the file do not depend on the number of threads: what a task gives depends on nothing but its rows, and its place on
nothing but the tasks before it.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.fields.base import OutOfLineBuffers
from lancelet.options import DEFAULT_CACHE_BYTES
from lancelet.threads import OrderedTasks, num_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lancelet.buffers import Data
    from lancelet.container.writer import ContainerWriter
    from lancelet.fields.base import PageDescription, PageTask

    EncodedPages = OrderedTasks[Sequence[PageDescription]]

__all__ = ["LateBuffers", "PagePlacer"]

#: Tasks of fewer bytes are done by the writer's own thread: handing one over costs as much as encoding this.
SMALL_BYTES = 256 << 10

#: Arrow's pool keeps what is freed, and threads free what others allocated: after so many bytes of rows it is told to let go. What
#: is let go has to come from the system again; a worker does so after each large page all the same, or writing would hold more
#: memory than the reference needs.
RELEASED_BYTES = 32 << 20


class PagePlacer:
    """Encodes pages and places them. Belongs to one thread.

    At most twice as many tasks as there are threads are at work or done. There are no more than threads if their rows take more
    than one and a half full queues a thread.

    Parameters
    ----------
    container
        Where the pages go.
    """

    def __init__(self, container: ContainerWriter) -> None:
        self._container = container
        self._num_threads = num_threads()
        self._sizes: deque[int] = deque()
        self._placed_bytes = 0
        #: What runs; it knows nothing of the placer, so that it can be closed when the placer is dropped.
        self.tasks: EncodedPages = OrderedTasks()

    def put(self, tasks: Iterable[PageTask]) -> None:
        """Have the pages of `tasks` placed after all others; those that are ready are placed now.

        Raises
        ------
        Exception
            What the first task that failed, in their order, has raised.
        """
        for task in tasks:
            if not self._sizes and task.num_bytes < SMALL_BYTES:
                for page in task.encode():
                    self.place(page)
                continue
            while self._sizes and not self._has_room(task.num_bytes):
                self._place_oldest()
            self._sizes.append(task.num_bytes)
            if task.num_bytes < SMALL_BYTES:
                self.tasks.put(task.encode, inline=True)
            else:
                self.tasks.put(partial(_encode, task))
            while self._sizes and self.tasks.is_ready:
                self._place_oldest()
        if self._placed_bytes >= RELEASED_BYTES:
            self._placed_bytes = 0
            pa.default_memory_pool().release_unused()

    def drain(self) -> None:
        """Place all pages that wait; raises as :meth:`put` does."""
        while self._sizes:
            self._place_oldest()

    def place(self, page: PageDescription) -> None:
        """Place a `page` after those that were placed."""
        self._container.write_page(
            page.column,
            page.buffers,
            page.num_rows,
            page.first_row,
            page.message.DESCRIPTOR.full_name,
            page.message.SerializeToString(deterministic=True),
        )

    def _has_room(self, num_bytes: int) -> bool:
        if len(self._sizes) < self._num_threads:
            return True
        most_bytes = 3 * self._num_threads * DEFAULT_CACHE_BYTES // 2
        return not self.tasks.is_full and sum(self._sizes) + num_bytes <= most_bytes

    def _place_oldest(self) -> None:
        self._placed_bytes += self._sizes.popleft()
        for page in self.tasks.take():
            self.place(page)


def _encode(task: PageTask) -> Sequence[PageDescription]:
    """Encode a large page on a worker thread, which lets go of what it used: nobody else can make the pool do so."""
    pages = task.encode()
    pa.default_memory_pool().release_unused()
    return pages


class LateBuffers(OutOfLineBuffers):
    """Out-of-line buffers of a batch, which lie behind all pages that were due before.

    Where that is, is known when those pages are placed. It is done when the first buffer comes: most files have none.

    Parameters
    ----------
    placer
        Holds the pages that may still wait. Nothing is placed between the first buffer and :meth:`write`.
    container
        Where the buffers go.
    """

    def __init__(self, placer: PagePlacer, container: ContainerWriter) -> None:
        super().__init__(0, container.alignment)
        self._placer = placer
        self._container = container

    def reserve(self, data: Data) -> int:
        """Queue `data`; returns the file position that it will have."""
        if not self.buffers:
            self._placer.drain()
            self._next = self._container.position
        return super().reserve(data)

    def write(self) -> None:
        """Write the buffers."""
        for buffer in self.buffers:
            self._container.write_buffer(buffer)
