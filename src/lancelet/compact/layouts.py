"""What pages say of themselves, before their bytes are moved: whether all they need lies in their own buffers.

Nothing of a page is read but its description. A schema does not tell where the values of a column are: what is in its metadata may
have changed since pages were written, and each page is as it was then.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lancelet.errors import FormatError, UnsupportedError
from lancelet.pages.base import ByteRange, PageInfo
from lancelet.pages.registry import PAGE_LAYOUT, parse_page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lancelet.container.reader import Container

__all__ = ["refers_elsewhere"]

#: The layout whose values lie outside of the buffers of its pages.
_BLOBS = "blob_layout"


def refers_elsewhere(container: Container, column: int) -> bool:
    """Tell whether pages of a column of version 2.1 or later refer to bytes of the file that are not in their buffers.

    Encodings that are not known here are taken to describe their own buffers, as all but those of blobs do.

    Raises
    ------
    FormatError
        The encoding of a page is damaged, or contradicts the page.
    """
    found = False
    for page, kind in enumerate(_kinds(container, column)):
        try:
            found |= _refers_elsewhere(*kind)
        except FormatError as error:
            raise error.locate(path=container.source.name, column=column, page=page) from None
    return found


def _kinds(container: Container, column: int) -> Iterable[tuple[str, bytes, tuple[int, ...], int]]:
    """Return name and bytes of the encoding of each page, the sizes of its buffers, and its rows."""
    kinds = None if container.table is None else container.table.page_kinds(column)
    if kinds is not None:
        return kinds
    pages = container.column(column).pages
    return [
        (page.type_name, page.encoding, tuple([size for _, size in page.buffers]), page.num_rows)
        for page in pages
    ]


@lru_cache(maxsize=1024)  # columns of constant or equal width have few kinds of pages, in all files together
def _refers_elsewhere(type_name: str, encoding: bytes, sizes: tuple[int, ...], num_rows: int) -> bool:
    info = PageInfo(tuple([ByteRange(0, size) for size in sizes]), num_rows)
    try:
        return parse_page(type_name, encoding, info).name == _BLOBS
    except UnsupportedError:
        if type_name != PAGE_LAYOUT:
            return False
    from lancelet.pb.encodings21_pb2 import PageLayout

    return PageLayout.FromString(encoding).WhichOneof("layout") == _BLOBS
