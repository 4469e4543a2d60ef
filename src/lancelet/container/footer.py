"""The footer, and the two tables of ``(position, size)`` pairs in front of it (container.md 1).

The footer is the last 40 bytes of a file, little-endian:

====  ====  =========================  ====================================================
at    size  name                       meaning
====  ====  =========================  ====================================================
0     8     column_metadata_offset     A: the first column metadata block
8     8     column_table_offset        B: the table of the column metadata blocks
16    8     global_table_offset        C: the table of the global buffers
24    4     num_global_buffers         the descriptor and the user's; 0 in a "mini" file
28    4     num_columns                physical columns
32    2     major                      see :mod:`lancelet.versions`
34    2     minor
36    4     magic                      ``LANC``
====  ====  =========================  ====================================================

``C - B == 16 * num_columns`` and ``file size - 40 - C == 16 * num_global_buffers``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lancelet.errors import FormatError
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lancelet.buffers import Data

__all__ = ["FOOTER_BYTES", "MAGIC", "PAIR_BYTES", "Footer", "pack_pairs", "unpack_pairs"]

MAGIC = b"LANC"
_FOOTER = struct.Struct("<QQQIIHH4s")
FOOTER_BYTES = _FOOTER.size
#: A table entry: u64 position, u64 size.
PAIR_BYTES = 16


@dataclass(frozen=True, slots=True)
class Footer:
    """The fixed record at the end of a file; the module's table names the fields."""

    column_metadata_offset: int
    column_table_offset: int
    global_table_offset: int
    num_global_buffers: int
    num_columns: int
    major: int
    minor: int

    @property
    def version(self) -> Version:
        """The version that the numbers mean; a FormatError when they mean none that can be read."""
        return Version.from_footer(self.major, self.minor)

    def pack(self) -> bytes:
        """Return the 40 bytes."""
        return _FOOTER.pack(
            self.column_metadata_offset,
            self.column_table_offset,
            self.global_table_offset,
            self.num_global_buffers,
            self.num_columns,
            self.major,
            self.minor,
            MAGIC,
        )

    @classmethod
    def unpack(cls, data: Data, file_bytes: int) -> Footer:
        """Read and check the footer.

        Parameters
        ----------
        data
            The last 40 bytes of the file.
        file_bytes
            Size of the file.

        Raises
        ------
        FormatError
            The magic or the version is wrong, or the parts that the footer names do not fill the file.
        """
        *numbers, magic = _FOOTER.unpack(data)
        if magic != MAGIC:
            raise FormatError(f"this is not a Lance file: it ends with {magic!r}, not with {MAGIC!r}")
        footer = cls(*numbers)
        _ = footer.version
        footer._check(file_bytes)
        return footer

    def _check(self, file_bytes: int) -> None:
        end = file_bytes - FOOTER_BYTES
        if not self.column_metadata_offset <= self.column_table_offset <= self.global_table_offset <= end:
            raise FormatError(
                f"the footer's offsets {self.column_metadata_offset}, {self.column_table_offset} and "
                f"{self.global_table_offset} are not in order, or not in front of the footer at {end}"
            )
        tables = (
            ("columns", self.num_columns, self.global_table_offset - self.column_table_offset),
            ("global buffers", self.num_global_buffers, end - self.global_table_offset),
        )
        for what, count, table_bytes in tables:
            if count * PAIR_BYTES != table_bytes:
                raise FormatError(
                    f"the footer says {count} {what}, but their table has {table_bytes} bytes, "
                    f"not {count * PAIR_BYTES}"
                )


def pack_pairs(pairs: Sequence[tuple[int, int]]) -> bytes:
    """Return a table of ``(position, size)`` pairs as bytes."""
    return np.array(pairs, dtype="<u8").tobytes()


def unpack_pairs(data: Data) -> npt.NDArray[np.uint64]:
    """View a table as ``uint64[count, 2]``: positions and sizes."""
    return np.frombuffer(memoryview(data), dtype="<u8").reshape(-1, 2)
