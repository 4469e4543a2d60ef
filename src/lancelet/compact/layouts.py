"""What pages say of themselves, before their bytes are moved: whether all they need lies in their own buffers.

Nothing of a page is read but its description. A schema does not tell where the values of a column are: what is in its metadata may
have changed since pages were written, and each page is as it was then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.errors import FormatError, UnsupportedError
from lancelet.pages.base import ByteRange, PageInfo
from lancelet.pages.registry import PAGE_LAYOUT, parse_page

if TYPE_CHECKING:
    from lancelet.container.metadata import PageMetadata
    from lancelet.container.reader import Container

__all__ = ["are_known", "refers_elsewhere"]

#: The layout whose values lie outside of the buffers of its pages.
_BLOBS = "blob_layout"


#: Encodings, with the numbers of buffers and rows, of pages that were found to hold all they need. Files repeat them.
_known: set[tuple[tuple[str, bytes] | None, int, int]] = set()
_MOST_KNOWN = 4096


def are_known(container: Container) -> bool:
    """Tell at once whether the pages of a file are all of kinds that :func:`refers_elsewhere` has looked at, and found nothing."""
    table = container.table
    if table is None:
        return False
    return _known.issuperset(table.page_kinds())


def refers_elsewhere(container: Container, column: int) -> bool:
    """Tell whether pages of a column of version 2.1 or later refer to bytes of the file that are not in their buffers.

    Encodings that are not known here are taken to describe their own buffers, as all but those of blobs do.

    Raises
    ------
    FormatError
        The encoding of a page is damaged, or contradicts the page.
    """
    found = False
    for number, page in enumerate(container.column(column).pages):
        try:
            is_blob = _refers_elsewhere(page)
        except FormatError as error:
            raise error.locate(path=container.source.name, column=column, page=number) from None
        found |= is_blob
        if not is_blob:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known.add(((page.type_name, page.encoding), len(page.buffers), page.num_rows))
    return found


def _refers_elsewhere(page: PageMetadata) -> bool:
    info = PageInfo(tuple([ByteRange(*buffer) for buffer in page.buffers]), page.num_rows)
    try:
        return parse_page(page.type_name, page.encoding, info).name == _BLOBS
    except UnsupportedError:
        if page.type_name != PAGE_LAYOUT:
            return False
    from lancelet.pb.encodings21_pb2 import PageLayout

    return PageLayout.FromString(page.encoding).WhichOneof("layout") == _BLOBS
