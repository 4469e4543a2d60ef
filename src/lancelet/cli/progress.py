"""A progress bar for long work: on terminals, and with rich installed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(target: str, unit: str = "rows") -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield what shows progress on a terminal, and ``None`` elsewhere or without rich.

    Parameters
    ----------
    target
        Path of what is worked on; its name stands before the bar.
    unit
        What is counted.
    """
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ModuleNotFoundError:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,} " + unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(PurePath(target).name, total=None)  # a whole path leaves no room for the rows
        yield lambda done, total: bar.update(task, completed=done, total=total)
