"""Messages of pages and codecs in short form and as plain values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from lancelet.anatomy import describe_codec, describe_page
from lancelet.container.metadata import BufferRef, PageMetadata
from lancelet.errors import FormatError
from lancelet.pb.encodings21_pb2 import (
    BlobLayout,
    BufferCompression,
    CompressiveEncoding,
    ConstantLayout,
    FullZipLayout,
    MiniBlockLayout,
    PageLayout,
    RepDefLayer,
    VariablePackedStruct,
)

LZ4 = BufferCompression(scheme=BufferCompression.COMPRESSION_ALGORITHM_LZ4)
ZSTD = BufferCompression(scheme=BufferCompression.COMPRESSION_ALGORITHM_ZSTD, level=3)
NULLABLE = RepDefLayer.REPDEF_NULLABLE_ITEM
VALID = RepDefLayer.REPDEF_ALL_VALID_ITEM


def make(**member: Any) -> CompressiveEncoding:
    return CompressiveEncoding(**member)


def flat(bits: int) -> CompressiveEncoding:
    return make(flat={"bits_per_value": bits})


def variable(bits: int) -> CompressiveEncoding:
    return make(variable={"offsets": flat(bits)})


CODECS = [
    (flat(32), "flat(32)"),
    (make(flat={"bits_per_value": 8, "data": LZ4}), "flat(8, lz4)"),
    (variable(64), "variable(64)"),
    (make(variable={"offsets": flat(32), "values": ZSTD}), "variable(32, zstd)"),
    (make(variable={"offsets": make(rle={"values": flat(32)})}), "variable(rle(flat(32), unknown))"),
    (make(constant={}), "constant"),
    (make(constant={"value": b"abcd"}), "constant(4 bytes)"),
    (
        make(out_of_line_bitpacking={"uncompressed_bits_per_value": 16, "values": flat(3)}),
        "out_of_line_bitpacking(16, flat(3))",
    ),
    (make(inline_bitpacking={"uncompressed_bits_per_value": 64}), "inline_bitpacking(64)"),
    (make(fsst={"symbol_table": b"12345678", "values": variable(32)}), "fsst(variable(32))"),
    (make(dictionary={"indices": flat(8), "items": variable(32), "num_dictionary_items": 7}), None),
    (make(rle={"values": flat(32), "run_lengths": flat(8)}), "rle(flat(32))"),
    (make(rle={"values": flat(32), "run_lengths": flat(16)}), "rle(flat(32), flat(16))"),
    (make(byte_stream_split={"values": flat(32)}), "byte_stream_split(flat(32))"),
    (make(general={"compression": LZ4, "values": variable(32)}), "lz4(variable(32))"),
    (make(general={"compression": ZSTD, "values": flat(8)}), "zstd(flat(8))"),
    (make(general={"compression": BufferCompression(), "values": flat(8)}), "scheme 0(flat(8))"),
    (make(fixed_size_list={"items_per_value": 3, "values": flat(32)}), "fixed_size_list(3 x flat(32))"),
    (
        make(fixed_size_list={"items_per_value": 3, "values": flat(1), "has_validity": True}),
        "fixed_size_list(3 x flat(1), validity)",
    ),
    (make(packed_struct={"bits_per_value": [32, 64], "values": flat(96)}), "packed_struct(32+64, flat(96))"),
    (
        make(
            variable_packed_struct=VariablePackedStruct(
                fields=[
                    VariablePackedStruct.FieldEncoding(value=flat(32)),
                    VariablePackedStruct.FieldEncoding(value=variable(32)),
                ]
            )
        ),
        "variable_packed_struct(flat(32), variable(32))",
    ),
    (make(plugin=AnyMessage(type_url="/example.Rot13", value=b"\1")), "example.Rot13"),
    (make(), "unknown"),
]


@pytest.mark.parametrize(
    ("message", "text"), CODECS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_codecs(message: CompressiveEncoding, text: str | None) -> None:
    codec = describe_codec(message)
    assert str(codec) == (text or "dictionary(7 x variable(32), flat(8))")
    assert json.loads(json.dumps(codec.to_dict()))["codec"] == codec.name


def test_every_codec_of_the_format_is_described() -> None:
    members = {field.name for field in CompressiveEncoding.DESCRIPTOR.oneofs_by_name["compression"].fields}
    described = {message.WhichOneof("compression") for message, _ in CODECS}
    assert described - {None} == members


def test_parameters_are_kept() -> None:
    message = make(
        general={"compression": ZSTD, "values": make(fsst={"symbol_table": b"12", "values": variable(32)})}
    )
    assert describe_codec(message).to_dict() == {
        "codec": "general",
        "compression": "zstd",
        "level": 3,
        "values": {
            "codec": "fsst",
            "symbol_table_bytes": 2,
            "values": {"codec": "variable", "offsets": {"codec": "flat", "bits": 32}},
        },
    }


def page(layout: PageLayout, num_buffers: int = 0) -> PageMetadata:
    buffers = (BufferRef(0, 8),) * num_buffers
    return PageMetadata(buffers, 10, 0, "lance.encodings21.PageLayout", layout.SerializeToString())


def test_mini_block_with_dictionary() -> None:
    layout = MiniBlockLayout(
        def_compression=flat(16),
        value_compression=flat(8),
        dictionary=make(general={"compression": LZ4, "values": variable(32)}),
        num_dictionary_items=1203,
        layers=[NULLABLE],
        num_items=10,
    )
    found = describe_page(page(PageLayout(mini_block_layout=layout)))
    assert str(found) == "mini-block dictionary(1203 x lz4(variable(32))) flat(8)"
    assert found.levels_text == "def flat(16)"
    assert found.layers == ("nullable_item",)
    assert found.num_items == 10
    assert found.to_dict()["dictionary"]["compression"] == "lz4"


def test_full_zip() -> None:
    layout = FullZipLayout(
        bits_def=1, bits_per_value=512, num_items=10, value_compression=flat(512), layers=[NULLABLE]
    )
    found = describe_page(page(PageLayout(full_zip_layout=layout), 1))
    assert str(found) == "full-zip flat(512)"
    assert found.levels_text == "def control_word(1)"


@pytest.mark.parametrize(
    ("layout", "num_buffers", "text"),
    [
        (ConstantLayout(layers=[NULLABLE]), 0, "all-null"),
        (ConstantLayout(layers=[NULLABLE]), 2, "all-null"),
        (ConstantLayout(layers=[VALID]), 1, "constant"),
        (ConstantLayout(layers=[NULLABLE]), 3, "constant"),
        (ConstantLayout(layers=[VALID], inline_value=b""), 0, "constant"),
        (ConstantLayout(layers=[NULLABLE], inline_value=b"1234"), 2, "constant"),
    ],
)
def test_constant_and_all_null(layout: ConstantLayout, num_buffers: int, text: str) -> None:
    assert str(describe_page(page(PageLayout(constant_layout=layout), num_buffers))) == text


def test_blob() -> None:
    inner = PageLayout(mini_block_layout=MiniBlockLayout(value_compression=flat(64)))
    found = describe_page(page(PageLayout(blob_layout=BlobLayout(inner_layout=inner))))
    assert str(found) == "blob mini-block flat(64)"
    assert found.to_dict()["inner"]["layout"] == "mini-block"


def test_what_is_not_known_is_named() -> None:
    assert describe_page(PageMetadata((), 1, 0, "example.Layout", b"\xff")).layout == "example.Layout"
    assert describe_page(page(PageLayout())).layout == "unknown"


def test_a_layer_that_is_not_known() -> None:
    layout = MiniBlockLayout(value_compression=flat(8), layers=[77])
    assert describe_page(page(PageLayout(mini_block_layout=layout))).layers == ("layer 77",)


def test_bytes_that_are_no_message() -> None:
    with pytest.raises(FormatError, match="cannot be parsed"):
        describe_page(PageMetadata((), 1, 0, "lance.encodings21.PageLayout", b"\xff\xff"))


def delimited(field: int, data: bytes) -> bytes:
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + data


def test_deep_nesting_ends() -> None:
    message = flat(8).SerializeToString()
    for _ in range(200):
        message = delimited(9, delimited(1, message))  # byte_stream_split { values { ... } }
    layout = delimited(1, delimited(3, message))  # mini_block_layout { value_compression { ... } }
    with pytest.raises(FormatError, match="cannot be parsed"):
        describe_page(PageMetadata((), 1, 0, "lance.encodings21.PageLayout", layout))
