"""Files: the public reader and writer, and pylance's names for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancelet.file.reader import FileReader
    from lancelet.file.reader import FileReader as LanceFileReader
    from lancelet.file.writer import FileWriter
    from lancelet.file.writer import FileWriter as LanceFileWriter

__all__ = ["FileReader", "FileWriter", "LanceFileReader", "LanceFileWriter"]


def __getattr__(name: str) -> Any:
    if name in ("FileReader", "LanceFileReader"):
        from lancelet.file.reader import FileReader

        return FileReader
    if name in ("FileWriter", "LanceFileWriter"):
        from lancelet.file.writer import FileWriter

        return FileWriter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
