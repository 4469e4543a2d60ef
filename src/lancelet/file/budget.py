"""How much memory a read has taken, and how much it may take.

A small file may declare a huge result (constants and runs expand): the limit is checked before memory is taken. Tasks on several
threads share one limit without a lock, which a forked child might find taken for ever: each counts its own bytes.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from lancelet.buffers import allocate
from lancelet.errors import LanceletError, OptionError

if TYPE_CHECKING:
    from lancelet.buffers import Allocate

__all__ = ["Budget", "Meter", "allocate_within", "physical_memory"]


@cache
def physical_memory() -> int:
    """Return the bytes of memory that the machine has, or a large number where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 1 << 40


class Meter:
    """What one task has taken of a :class:`Budget`.

    Attributes
    ----------
    spent
        Bytes.
    """

    __slots__ = ("_budget", "spent")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.spent = 0

    def start(self) -> Allocate:
        """Begin to count, from 0 also when the task is done a second time, and return where memory comes from."""
        self.spent = 0
        return self._allocate

    def _allocate(self, num_bytes: int) -> Any:
        self.spent += num_bytes
        self._budget.check()
        return _allocated(num_bytes)


class Budget:
    """The memory that a result may take.

    Parameters
    ----------
    max_bytes
        Most bytes of all tasks together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._settled = 0
        self._meters: list[Meter] = []

    def meter(self) -> Meter:
        """Return the meter of a new task. Only one thread makes and settles meters."""
        meter = Meter(self)
        self._meters.append(meter)
        return meter

    def settle(self, meter: Meter) -> None:
        """Note that the task of `meter`, the oldest, is done.

        Raises
        ------
        OptionError
            The tasks that are done have taken more than they may.
        """
        self._meters.remove(meter)
        self._settled += meter.spent
        self.check()

    def check(self) -> None:
        """Check the limit.

        Raises
        ------
        OptionError
            More was taken.
        """
        meters = self._meters.copy()
        spent = meters[0].spent if len(meters) == 1 else sum([meter.spent for meter in meters])
        if self._settled + spent > self._max_bytes:
            raise _too_much(self._max_bytes)


def allocate_within(max_bytes: int) -> Allocate:
    """Return where memory comes from for a result that one thread makes, of at most `max_bytes`; refuses as a budget does."""
    spent = 0

    def take(num_bytes: int) -> Any:
        nonlocal spent
        spent += num_bytes
        if spent > max_bytes:
            raise _too_much(max_bytes)
        return _allocated(num_bytes)

    return take


def _allocated(num_bytes: int) -> Any:
    try:
        return allocate(num_bytes)
    except MemoryError:
        raise LanceletError(f"there is no memory for {num_bytes} bytes of the result") from None


def _too_much(max_bytes: int) -> OptionError:
    return OptionError(
        f"the result needs more than max_result_bytes = {max_bytes} bytes; "
        "read it in batches, or raise the limit"
    )
