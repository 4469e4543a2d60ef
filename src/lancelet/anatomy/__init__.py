"""Looking inside of files: how pages are encoded, what columns cost, what a file is made of. Reads no page data."""

from __future__ import annotations

from lancelet.anatomy.columns import PhysicalColumn, field_paths, physical_columns, read_schema
from lancelet.anatomy.describe import CodecAnatomy, PageAnatomy, describe_codec, describe_page
from lancelet.anatomy.sizes import ColumnSize, column_sizes
from lancelet.anatomy.summary import FileSummary, summarise

__all__ = [
    "CodecAnatomy",
    "ColumnSize",
    "FileSummary",
    "PageAnatomy",
    "PhysicalColumn",
    "column_sizes",
    "describe_codec",
    "describe_page",
    "field_paths",
    "physical_columns",
    "read_schema",
    "summarise",
]
