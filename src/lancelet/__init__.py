"""Lance files and datasets in Python: read, write, inspect, verify and compact.

Public names load with their modules when they are first used; ``import lancelet`` itself pulls in numpy and pyarrow's core at most.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancelet.errors import CommitConflict, FormatError, LanceletError, OptionError, UnsupportedError
    from lancelet.file.create import create_file_with_batches
    from lancelet.file.memory import encode_batch, read_mini
    from lancelet.file.reader import FileReader
    from lancelet.file.reader import FileReader as LanceFileReader
    from lancelet.file.writer import FileWriter
    from lancelet.file.writer import FileWriter as LanceFileWriter
    from lancelet.wishes.column import ColumnOptions
    from lancelet.wishes.rules import CompressionFieldParams, CompressionParams

__all__ = [
    "ColumnOptions",
    "CommitConflict",
    "CompressionFieldParams",
    "CompressionParams",
    "FileReader",
    "FileWriter",
    "FormatError",
    "LanceFileReader",
    "LanceFileWriter",
    "LanceletError",
    "OptionError",
    "UnsupportedError",
    "__version__",
    "create_file_with_batches",
    "encode_batch",
    "read_mini",
]

# Public name -> module and name there. LanceFile* are the names that users of pylance know.
_HOMES = {
    "ColumnOptions": ("lancelet.wishes.column", "ColumnOptions"),
    "CommitConflict": ("lancelet.errors", "CommitConflict"),
    "CompressionFieldParams": ("lancelet.wishes.rules", "CompressionFieldParams"),
    "CompressionParams": ("lancelet.wishes.rules", "CompressionParams"),
    "FileReader": ("lancelet.file.reader", "FileReader"),
    "FileWriter": ("lancelet.file.writer", "FileWriter"),
    "FormatError": ("lancelet.errors", "FormatError"),
    "LanceFileReader": ("lancelet.file.reader", "FileReader"),
    "LanceFileWriter": ("lancelet.file.writer", "FileWriter"),
    "LanceletError": ("lancelet.errors", "LanceletError"),
    "OptionError": ("lancelet.errors", "OptionError"),
    "UnsupportedError": ("lancelet.errors", "UnsupportedError"),
    "create_file_with_batches": ("lancelet.file.create", "create_file_with_batches"),
    "encode_batch": ("lancelet.file.memory", "encode_batch"),
    "read_mini": ("lancelet.file.memory", "read_mini"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("lancelet")
    elif name in _HOMES:
        module, attribute = _HOMES[name]
        value = getattr(import_module(module), attribute)
    else:
        raise AttributeError(f"module 'lancelet' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
