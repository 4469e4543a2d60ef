"""Files: the public reader and writer, and pylance's names for them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancelet.file.create import create_file_with_batches
    from lancelet.file.memory import EncodedBatch, encode_batch, read_mini
    from lancelet.file.prepared import finish_prepared_file
    from lancelet.file.reader import FileReader
    from lancelet.file.reader import FileReader as LanceFileReader
    from lancelet.file.writer import FileWriter
    from lancelet.file.writer import FileWriter as LanceFileWriter

__all__ = [
    "EncodedBatch",
    "FileReader",
    "FileWriter",
    "LanceFileReader",
    "LanceFileWriter",
    "create_file_with_batches",
    "encode_batch",
    "finish_prepared_file",
    "read_mini",
]

_MODULES = {
    "EncodedBatch": "memory",
    "FileReader": "reader",
    "FileWriter": "writer",
    "create_file_with_batches": "create",
    "encode_batch": "memory",
    "finish_prepared_file": "prepared",
    "read_mini": "memory",
}


def __getattr__(name: str) -> Any:
    own = name.removeprefix("Lance")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lancelet.file.{_MODULES[own]}"), own)
