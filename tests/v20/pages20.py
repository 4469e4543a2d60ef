"""Files of version 2.0 made by hand: one column whose pages say what a test wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.container.writer import ContainerWriter
from lancelet.pb import encodings20_pb2 as pb
from lancelet.pb.file_pb2 import FileDescriptor
from lancelet.schema.fields import Schema
from lancelet.storage import open_sink
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    #: Message, buffers, length.
    Page = tuple[Any, Sequence[bytes], int]

PAGE_TYPE = Version.V2_0.page_types[0]


def write_columns(
    path: Path,
    schema: pa.Schema,
    num_rows: int,
    columns: Sequence[Sequence[Page]],
    *,
    column_buffers: Sequence[bytes] = (),
    global_buffers: Sequence[bytes] = (),
) -> Path:
    """Write a file whose columns have exactly these pages."""
    writer = ContainerWriter(open_sink(str(path)), Version.V2_0)
    for buffer in global_buffers:
        writer.add_global_buffer(buffer)
    for column, pages in enumerate(columns):
        for message, buffers, length in pages:
            writer.write_page(column, buffers, length, 0, PAGE_TYPE, message.SerializeToString())
    if column_buffers:
        writer.end_column(0, "lance.encodings.ColumnEncoding", b"\x0a\x00", column_buffers)
    descriptor = FileDescriptor(schema=Schema.from_arrow(schema).to_message(), length=num_rows)
    writer.finish(descriptor.SerializeToString(), len(columns))
    return path


def buffer(index: int = 0, kind: str = "page") -> pb.Buffer:
    """Refer to a buffer."""
    return pb.Buffer(buffer_index=index, buffer_type=pb.Buffer.BufferType.Value(kind))


def flat(bits: int, index: int = 0, kind: str = "page", **compression: Any) -> pb.ArrayEncoding:
    """Return ``flat``."""
    message = pb.Flat(bits_per_value=bits, buffer=buffer(index, kind))
    if compression:
        message.compression.CopyFrom(pb.Compression(**compression))
    return pb.ArrayEncoding(flat=message)


def no_nulls(values: pb.ArrayEncoding) -> pb.ArrayEncoding:
    """Return ``nullable { no_nulls }``."""
    return pb.ArrayEncoding(nullable=pb.Nullable(no_nulls=pb.Nullable.NoNull(values=values)))


def some_nulls(values: pb.ArrayEncoding, validity: int = 0) -> pb.ArrayEncoding:
    """Return ``nullable { some_nulls }``; the validity is buffer `validity`."""
    some = pb.Nullable.SomeNull(validity=flat(1, validity), values=values)
    return pb.ArrayEncoding(nullable=pb.Nullable(some_nulls=some))


def all_nulls() -> pb.ArrayEncoding:
    """Return ``nullable { all_nulls }``."""
    return pb.ArrayEncoding(nullable=pb.Nullable(all_nulls=pb.Nullable.AllNull()))


def binary(adjustment: int, indices: int = 0, data: int = 1, **compression: Any) -> pb.ArrayEncoding:
    """Return ``binary`` over two buffers."""
    message = pb.Binary(
        indices=no_nulls(flat(64, indices)), bytes=flat(8, data, **compression), null_adjustment=adjustment
    )
    return pb.ArrayEncoding(binary=message)


def lists(adjustment: int, num_items: int, index: int = 0) -> pb.ArrayEncoding:
    """Return ``list``."""
    message = pb.List(
        offsets=no_nulls(flat(64, index)), null_offset_adjustment=adjustment, num_items=num_items
    )
    return pb.ArrayEncoding(list=message)


def u64(*numbers: int) -> bytes:
    """Return numbers of 64 bits."""
    return b"".join(number.to_bytes(8, "little") for number in numbers)
