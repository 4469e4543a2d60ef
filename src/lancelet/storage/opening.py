"""How a user's argument becomes something to read or to write.

==============================  ======================  ========================================
argument                        to read                 to write
==============================  ======================  ========================================
``str``, ``os.PathLike``        ``LocalSource``         ``LocalSink`` (atomic)
``bytes``, ``pyarrow.Buffer``…  ``MemorySource``        -
binary file object              ``FileObjectSource``    ``FileObjectSink``
``Source`` / ``Sink``           itself                  itself
==============================  ======================  ========================================
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError
from lancelet.storage.base import Sink, Source
from lancelet.storage.local import LocalSink, LocalSource
from lancelet.storage.memory import FileObjectSink, FileObjectSource, MemorySource

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["borrow_source", "open_sink", "open_source"]


def open_source(target: Any, *, mmap: bool = True) -> Source:
    """Make a source of a path, bytes in memory, a seekable binary file object, or a source.

    Parameters
    ----------
    target
        What to read; see the table above.
    mmap
        Map local files into memory. Without it every read is a copy, which is slower but safe from programs
        that truncate the file.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        The path is not one of a file.
    OptionError
        The target is of no known kind.
    """
    if isinstance(target, Source):
        return target
    if isinstance(target, (str, os.PathLike)):
        return LocalSource(target, mmap=mmap)
    try:
        memoryview(target)
    except TypeError:
        if hasattr(target, "read") and hasattr(target, "seek"):
            return FileObjectSource(target)
        raise OptionError(
            f"cannot read from {type(target).__name__}: a path, bytes, or a seekable binary file is needed"
        ) from None
    return MemorySource(target)


@contextmanager
def borrow_source(target: Any) -> Iterator[Source]:
    """Make a source as :func:`open_source` does, and close it afterwards, unless it is the user's own."""
    source = open_source(target)
    try:
        yield source
    finally:
        if source is not target:
            source.close()


def open_sink(target: Any) -> Sink:
    """Make a sink of a path, a binary file object, or a sink.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        The directory of the path does not exist, or the path is a directory.
    OptionError
        The target is of no known kind.
    """
    if isinstance(target, Sink):
        return target
    if isinstance(target, (str, os.PathLike)):
        return LocalSink(target)
    if hasattr(target, "write"):
        return FileObjectSink(target)
    raise OptionError(f"cannot write to {type(target).__name__}: a path or a binary file is needed")
