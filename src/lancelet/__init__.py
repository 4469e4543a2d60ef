"""Lance files and datasets in Python: read, write, inspect, verify and compact.

Public names load with their modules when they are first used; ``import lancelet`` itself pulls in numpy and pyarrow's core at most.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancelet.compact.metrics import CompactionMetrics
    from lancelet.compact.options import CompactionOptions
    from lancelet.compact.plan import CompactionPlan, CompactionTask
    from lancelet.compact.run import Compaction
    from lancelet.compact.task import RewriteResult
    from lancelet.datasets.dataset import Dataset, dataset
    from lancelet.datasets.dataset import Dataset as LanceDataset
    from lancelet.datasets.writing import commit, write_dataset, write_fragments
    from lancelet.errors import CommitConflict, FormatError, LanceletError, OptionError, UnsupportedError
    from lancelet.file.create import create_file_with_batches
    from lancelet.file.memory import encode_batch, read_mini
    from lancelet.file.reader import FileReader
    from lancelet.file.reader import FileReader as LanceFileReader
    from lancelet.file.writer import FileWriter
    from lancelet.file.writer import FileWriter as LanceFileWriter
    from lancelet.release import VERSION as __version__  # noqa: N811 - the usual name
    from lancelet.table.formats import operations as LanceOperation  # noqa: N812 - the name that users of pylance know
    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.table.formats.transaction import Transaction
    from lancelet.table.reads.blobs import BlobFile
    from lancelet.table.reads.fragment import Fragment
    from lancelet.table.reads.fragment import Fragment as LanceFragment
    from lancelet.table.reads.scanner import Scanner
    from lancelet.wishes.column import ColumnOptions
    from lancelet.wishes.rules import CompressionFieldParams, CompressionParams

__all__ = [
    "BlobFile",
    "ColumnOptions",
    "CommitConflict",
    "Compaction",
    "CompactionMetrics",
    "CompactionOptions",
    "CompactionPlan",
    "CompactionTask",
    "CompressionFieldParams",
    "CompressionParams",
    "Dataset",
    "FileReader",
    "FileWriter",
    "FormatError",
    "Fragment",
    "FragmentMetadata",
    "LanceDataset",
    "LanceFileReader",
    "LanceFileWriter",
    "LanceFragment",
    "LanceOperation",
    "LanceletError",
    "OptionError",
    "RewriteResult",
    "Scanner",
    "Transaction",
    "UnsupportedError",
    "__version__",
    "commit",
    "create_file_with_batches",
    "dataset",
    "encode_batch",
    "read_mini",
    "write_dataset",
    "write_fragments",
]

# Public name -> module and name there. Lance* are the names that users of pylance know.
_HOMES = {
    "BlobFile": ("lancelet.table.reads.blobs", "BlobFile"),
    "ColumnOptions": ("lancelet.wishes.column", "ColumnOptions"),
    "CommitConflict": ("lancelet.errors", "CommitConflict"),
    "Compaction": ("lancelet.compact.run", "Compaction"),
    "CompactionMetrics": ("lancelet.compact.metrics", "CompactionMetrics"),
    "CompactionOptions": ("lancelet.compact.options", "CompactionOptions"),
    "CompactionPlan": ("lancelet.compact.plan", "CompactionPlan"),
    "CompactionTask": ("lancelet.compact.plan", "CompactionTask"),
    "CompressionFieldParams": ("lancelet.wishes.rules", "CompressionFieldParams"),
    "CompressionParams": ("lancelet.wishes.rules", "CompressionParams"),
    "Dataset": ("lancelet.datasets.dataset", "Dataset"),
    "FileReader": ("lancelet.file.reader", "FileReader"),
    "FileWriter": ("lancelet.file.writer", "FileWriter"),
    "FormatError": ("lancelet.errors", "FormatError"),
    "Fragment": ("lancelet.table.reads.fragment", "Fragment"),
    "FragmentMetadata": ("lancelet.table.formats.metadata", "FragmentMetadata"),
    "LanceDataset": ("lancelet.datasets.dataset", "Dataset"),
    "LanceFileReader": ("lancelet.file.reader", "FileReader"),
    "LanceFileWriter": ("lancelet.file.writer", "FileWriter"),
    "LanceFragment": ("lancelet.table.reads.fragment", "Fragment"),
    "LanceOperation": ("lancelet.table.formats", "operations"),
    "LanceletError": ("lancelet.errors", "LanceletError"),
    "OptionError": ("lancelet.errors", "OptionError"),
    "RewriteResult": ("lancelet.compact.task", "RewriteResult"),
    "Scanner": ("lancelet.table.reads.scanner", "Scanner"),
    "Transaction": ("lancelet.table.formats.transaction", "Transaction"),
    "UnsupportedError": ("lancelet.errors", "UnsupportedError"),
    "commit": ("lancelet.datasets.writing", "commit"),
    "create_file_with_batches": ("lancelet.file.create", "create_file_with_batches"),
    "dataset": ("lancelet.datasets.dataset", "dataset"),
    "encode_batch": ("lancelet.file.memory", "encode_batch"),
    "read_mini": ("lancelet.file.memory", "read_mini"),
    "write_dataset": ("lancelet.datasets.writing", "write_dataset"),
    "write_fragments": ("lancelet.datasets.writing", "write_fragments"),
    "__version__": ("lancelet.release", "VERSION"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lancelet' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    home = import_module(module)
    # As `from module import attribute` does, which may be a module itself.
    value: Any = getattr(home, attribute, None) or import_module(f"{module}.{attribute}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
