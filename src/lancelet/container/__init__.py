"""The envelope of a file: footer, tables, column metadata, global buffers. Knows no encoding."""

from lancelet.container.metadata import BufferRef, ColumnMetadata, PageMetadata
from lancelet.container.reader import Container
from lancelet.container.writer import ContainerWriter

__all__ = ["BufferRef", "ColumnMetadata", "Container", "ContainerWriter", "PageMetadata"]
