"""``lancelet pages``: how each page is encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_columns, add_file, add_json
from lancelet.cli.output import Heading, show_json, show_table
from lancelet.cli.places import check_no_dataset
from lancelet.errors import FormatError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from lancelet.anatomy.columns import PhysicalColumn
    from lancelet.anatomy.describe import PageAnatomy
    from lancelet.container.metadata import PageMetadata

    Page = tuple[PhysicalColumn, int, PageMetadata, PageAnatomy]

NAME = "pages"
HELP = "layout, codecs, rows and bytes of each page"
DESCRIPTION = """\
Show how each page of each column is encoded. Only metadata is read, so this also works for files whose encodings
cannot be decoded here (versions 2.0 and 2.3, plug-ins): those pages show the name of their message."""
EPILOG = """\
Codecs are written from the outside in: fsst(variable(32)) is text with 32-bit offsets, compressed with FSST;
dictionary(12 x flat(64)) inline_bitpacking(32) is 12 distinct values and packed indices. Bytes are those of the
page's buffers, without padding and metadata.

examples:
  lancelet pages flights.lance
  lancelet pages flights.lance --columns carrier,tailnum --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_file(parser)
    add_columns(parser, "only these fields and what is below them")
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the pages."""
    check_no_dataset(arguments.file)
    pages = list(_pages(arguments.file, arguments.columns))
    if arguments.json:
        show_json([_to_dict(*page) for page in pages])
        return
    left = [Heading(text) for text in ("layout", "values", "levels")]
    right = [Heading(text, right=True) for text in ("rows", "first row", "bytes")]
    show_table(
        [Heading("column"), Heading("page", right=True), *left, *right], [_row(*page) for page in pages]
    )


def _pages(path: str, names: Sequence[str] | None) -> Iterator[Page]:
    from lancelet.anatomy.columns import physical_columns
    from lancelet.anatomy.describe import describe_page
    from lancelet.container.reader import Container
    from lancelet.storage import open_source

    with open_source(path) as source:
        for column in physical_columns(Container.open(source), names):
            for number, page in enumerate(column.metadata.pages):
                try:
                    yield column, number, page, describe_page(page)
                except FormatError as error:
                    raise error.locate(path=path, column=column.index, page=number) from None


def _num_bytes(page: PageMetadata) -> int:
    return sum(buffer.size for buffer in page.buffers)


def _row(column: PhysicalColumn, number: int, page: PageMetadata, anatomy: PageAnatomy) -> list[str]:
    numbers = (page.num_rows, page.first_row, _num_bytes(page))
    texts = (anatomy.layout, anatomy.values_text, anatomy.levels_text)
    return [column.path, str(number), *texts, *(f"{value:,}" for value in numbers)]


def _to_dict(
    column: PhysicalColumn, number: int, page: PageMetadata, anatomy: PageAnatomy
) -> dict[str, object]:
    return {
        "path": column.path,
        "column": column.index,
        "page": number,
        "num_rows": page.num_rows,
        "first_row": page.first_row,
        "num_bytes": _num_bytes(page),
        "buffers": [{"position": buffer.position, "size": buffer.size} for buffer in page.buffers],
        "message": page.type_name,
        "encoding": anatomy.to_dict(),
    }
