"""A codec, a layout and a field encoder from outside of the package, made with nothing but the public contracts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage

from lancelet.blocks import FixedWidth
from lancelet.codecs.base import ChunkCodec, Chunks, EncodedChunks, Spans
from lancelet.codecs.flat import Flat
from lancelet.codecs.registry import register as register_codec
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.fields.base import (
    ColumnNumbering,
    EncodingStrategy,
    FieldEncoder,
    OutOfLineBuffers,
    PageDescription,
    PageTask,
    check_alignment,
)
from lancelet.fields.encoder import LeafEncoder, StructuralStrategy, page_params
from lancelet.fields.paths import LeafPath
from lancelet.file import FileReader, FileWriter
from lancelet.levels import Layer, Leaf
from lancelet.pages import miniblock
from lancelet.pages.base import Layout, OpenPage, PagePart
from lancelet.pages.registry import register as register_layout
from lancelet.pb.encodings21_pb2 import CompressiveEncoding


@register_codec
@dataclass(frozen=True, slots=True)
class Xor(ChunkCodec):
    """Every byte of the inner codec's buffers, exclusive-or a key."""

    name = "example.Xor"

    key: int
    values: Flat
    num_buffers = 1

    def to_message(self):
        return CompressiveEncoding(
            plugin=AnyMessage(type_url="/example.Xor", value=bytes([self.key, self.values.bits]))
        )

    @classmethod
    def from_message(cls, message, parse):
        if len(message) != 2:
            raise FormatError(f"a key and a width were expected, not {len(message)} bytes")
        return cls(message[0], Flat(message[1]))

    def encode_chunks(self, block, limits):
        inner = self.values.encode_chunks(block, limits)
        buffers = tuple((np.frombuffer(data, np.uint8) ^ self.key, sizes) for data, sizes in inner.buffers)
        return EncodedChunks(replace(self, values=inner.codec), buffers, inner.counts)

    def decode_chunks(self, chunks, allocate):
        (spans,) = chunks.buffers
        plain = Spans(np.frombuffer(spans.data, np.uint8) ^ self.key, spans.offsets, spans.sizes)
        return self.values.decode_chunks(Chunks((plain,), chunks.counts, chunks.num_values), allocate)


def _toy_message_class():
    file = descriptor_pb2.FileDescriptorProto(name="example/toy.proto", package="example", syntax="proto3")
    file.message_type.add(name="ToyPage").field.add(name="step", number=1, type=3, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("example.ToyPage"))


ToyPage = _toy_message_class()


class ToyEncoder(FieldEncoder):
    """Stores ``0, step, 2 * step, ...`` of each batch as the step alone."""

    num_columns = 1

    def __init__(self, column):
        self.column = column

    def add(self, array, first_row, num_rows, out_of_line):
        step = array[1].as_py() - array[0].as_py()
        page = PageDescription(
            self.column, (array[0].as_py().to_bytes(8, "little"),), ToyPage(step=step), num_rows, first_row
        )
        return [PageTask(self.column, array.nbytes, lambda: [page])]

    def flush(self, out_of_line):
        return []

    def finish(self):
        return []


@register_layout
class ToyLayout(Layout):
    name = "example.ToyPage"

    def __init__(self, step, page):
        self.step, self.page = step, page

    @classmethod
    def from_message(cls, message, page):
        page.expect_buffers(1)
        return cls(ToyPage.FromString(message).step, page)

    def head_ranges(self):
        return self.page.buffers

    def open(self, heads):
        return OpenToyPage(self.page.num_rows, int.from_bytes(heads[0], "little"), self.step)


class OpenToyPage(OpenPage):
    def __init__(self, num_rows, start, step):
        self.num_rows, self.start, self.step = num_rows, start, step

    def plan(self, rows):
        return PagePart((), rows.num_rows, None, rows)

    def decode(self, part, data, allocate):
        rows = np.concatenate(
            [np.arange(a, b) for a, b in zip(part.state.starts, part.state.stops, strict=True)]
        )
        values = FixedWidth(64, part.num_rows, self.start + rows * self.step)
        return Leaf(part.num_rows, (Layer.ALL_VALID_ITEM,), None, None, part.num_rows, values)


class ToyStrategy(EncodingStrategy):
    """The toy encoder for ``ticks``, the toy codec for ``secret``, the built-in ones for the rest."""

    def __init__(self):
        self.built_in = StructuralStrategy()

    def field_encoder(self, request, numbering, root):
        field = request.field
        if field.name == "ticks":
            return ToyEncoder(numbering.take(field.id))
        if field.name == "secret":
            params = page_params(request)

            def encode(leaf, params):
                encoded = Xor(0x5A, Flat(leaf.values.bits)).encode_chunks(leaf.values, params.codecs.limits)
                return miniblock.encode(
                    leaf, encoded, level_codec=params.level_codec, large=params.version.text != "2.1"
                )

            path = LeafPath(field, request.containers)
            return LeafEncoder(
                numbering.take(field.id), params, request.options, request.cache_bytes, path, encode
            )
        return self.built_in.field_encoder(request, numbering, root)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_codec_and_field_encoder_from_outside(tmp_path, version):
    num_rows = 10_000
    table = pa.table(
        {
            "plain": pa.array(range(num_rows)),
            "ticks": pa.array(range(7, 7 + 3 * num_rows, 3), pa.int64()),
            "secret": pa.array([None if i % 5 == 0 else i * i for i in range(num_rows)], pa.int64()),
        }
    )
    path = tmp_path / "toy.lance"
    with FileWriter(path, version=version, encoding_strategy=ToyStrategy()) as writer:
        writer.write_table(table)
    assert b"example.Xor" in path.read_bytes()
    with FileReader(path) as reader:
        assert reader.read_all().to_table().equals(table)
        rows = [9_999, 0, 4_321, 4_321]
        assert reader.take_rows(rows).to_table().equals(table.take(rows))


def test_unknown_names_leave_the_other_columns_readable(tmp_path, monkeypatch):
    table = pa.table({"plain": [1, 2, 3], "ticks": [0, 2, 4], "secret": [5, 6, 7]})
    path = tmp_path / "toy.lance"
    with FileWriter(path, encoding_strategy=ToyStrategy()) as writer:
        writer.write_table(table)
    monkeypatch.delitem(__import__("lancelet.codecs.registry", fromlist=["_codecs"])._codecs, "example.Xor")
    monkeypatch.delitem(
        __import__("lancelet.pages.registry", fromlist=["_layouts"])._layouts, "example.ToyPage"
    )
    reader = FileReader(path)
    assert reader.read_all(columns=["plain"]).to_table().equals(table.select(["plain"]))
    with pytest.raises(UnsupportedError, match=r"example\.Xor"):
        reader.read_all(columns=["secret"]).to_table()
    with pytest.raises(UnsupportedError, match=r"example\.ToyPage"):
        reader.read_all(columns=["ticks"]).to_table()


def test_names_are_taken_once():
    with pytest.raises(ValueError, match="two codecs"):
        register_codec(type("Other", (), {"name": "example.Xor"}))
    with pytest.raises(ValueError, match="two layouts"):
        register_layout(type("Other", (), {"name": "example.ToyPage"}))


def test_column_numbering():
    numbering = ColumnNumbering()
    assert [numbering.take(0), numbering.skip(), numbering.take(7)] == [0, 1, 2]
    assert numbering.columns == {0: 0, 7: 2}
    assert numbering.num_columns == 3
    with pytest.raises(OptionError, match="field 7"):
        numbering.take(7)


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_out_of_line_positions_are_true_for_any_alignment(alignment):
    buffers = OutOfLineBuffers(3 * alignment, alignment)
    positions = [buffers.reserve(bytes(size)) for size in (1, 0, alignment, alignment + 1)]
    assert positions == [3 * alignment, 4 * alignment, 4 * alignment, 5 * alignment]
    with pytest.raises(OptionError, match="not a multiple"):
        OutOfLineBuffers(alignment + 1, alignment)


@pytest.mark.parametrize("alignment", [0, 1, 4, 12, 24])
def test_alignments_that_are_refused(alignment):
    with pytest.raises(OptionError, match="power of two"):
        check_alignment(alignment)
