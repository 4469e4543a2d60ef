"""Read every byte of a result once: what the benchmarks do with the result of every engine, by the same function.

The loop is ``consume.cpp``, compiled on first use and reached through ctypes and Arrow's C data interface: one call a batch, about
the speed of memory. In Python it would cost 5 us a buffer, as much as some engines need to decode one.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

SOURCE = Path(__file__).with_name("consume.cpp")
SCHEMA_BYTES = 72
ARRAY_BYTES = 80


def build(directory: Path) -> Path:
    """Compile the loop into `directory`, unless a library newer than its source is there; return the library."""
    library = directory / "consume.so"
    if library.exists() and library.stat().st_mtime >= SOURCE.stat().st_mtime:
        return library
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        fresh = Path(scratch) / library.name
        compiler = os.environ.get("CXX", "g++")
        options = ("-std=c++20", "-O3", "-shared", "-fPIC", "-Wall", "-Wextra")
        subprocess.run([compiler, *options, "-o", str(fresh), str(SOURCE)], check=True)
        fresh.replace(library)
    return library


class Consumer:
    """Reads results and counts what it read.

    Parameters
    ----------
    library
        What :func:`build` made.
    """

    def __init__(self, library: Path) -> None:
        self._function = ctypes.CDLL(str(library)).consume
        self._function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64)]
        self._function.restype = ctypes.c_int64
        self._array = ctypes.create_string_buffer(ARRAY_BYTES)
        self._sum = ctypes.c_uint64()

    def batches(self, batches: Iterable[pa.RecordBatch]) -> tuple[int, int]:
        """Read record batches of one schema; return the number of rows and of bytes."""
        schema = None
        num_rows = num_bytes = 0
        for batch in batches:
            if schema is None:
                schema = _export(batch.schema)
            num_rows += batch.num_rows
            num_bytes += self._consume(schema, batch)
        return num_rows, num_bytes

    def table(self, table: pa.Table) -> tuple[int, int]:
        """Read a table, column by column and chunk by chunk; return the number of rows and of bytes."""
        num_bytes = 0
        for field, column in zip(table.schema, table.columns, strict=True):
            schema = _export(field)
            for chunk in column.chunks:
                num_bytes += self._consume(schema, chunk)
        return table.num_rows, num_bytes

    def _consume(self, schema: ctypes.Array[ctypes.c_char], array: pa.RecordBatch | pa.Array) -> int:
        address = ctypes.addressof(self._array)
        array._export_to_c(address)
        num_bytes: int = self._function(ctypes.addressof(schema), address, self._sum)
        if num_bytes < 0:
            raise TypeError(f"the benchmark cannot read {getattr(array, 'type', None) or array.schema}")
        return num_bytes


def _export(schema: pa.Schema | pa.Field) -> ctypes.Array[ctypes.c_char]:
    """Return an ArrowSchema; what it points to is small and never released."""
    exported = ctypes.create_string_buffer(SCHEMA_BYTES)
    schema._export_to_c(ctypes.addressof(exported))
    return exported
