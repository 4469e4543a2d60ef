"""Schemas that were seen before: shared where nothing else decides what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from lancelet import FileReader, FormatError, encode_batch
from lancelet.pb import file_pb2
from lancelet.schema import Schema, known
from lancelet.schema.known import known_schema
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.pb.file_pb2 import Schema as Message


@pytest.fixture(autouse=True)
def _nothing_is_known() -> Iterator[None]:
    known._schemas.clear()
    yield
    known._schemas.clear()


def message(*names: str, type_: pa.DataType | None = None) -> Message:
    fields = [pa.field(name, type_ or pa.list_(pa.int32())) for name in names]
    return Schema.from_arrow(pa.schema(fields)).to_message()


def test_equal_messages_share_a_schema() -> None:
    first = known_schema(message("a", "b"))
    assert known_schema(message("a", "b")) is first
    assert known_schema(message("a")) is not first
    assert first.whole is first.stored.whole
    assert first.columns_of(Version.V2_1) == {1: 0, 3: 1}
    assert first.columns_of(Version.V2_0) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert first.shown(None).to_arrow() == first.whole.to_arrow()


@pytest.mark.parametrize("place", ["metadata", "name", "logical type"])
def test_extensions_are_looked_at_anew(place: str) -> None:
    described = message("a", type_=pa.binary(16))
    if place == "metadata":
        described.fields[0].metadata["ARROW:extension:name"] = b"arrow.uuid"
    elif place == "name":
        described.fields[0].extension_name = "arrow.uuid"
    else:
        described.fields[0].logical_type = "json"
    assert known_schema(described) is not known_schema(described)


def test_memory_is_bounded() -> None:
    for number in range(12):
        known_schema(message(*(f"{number}-{i}" for i in range(2000))))
        assert 0 < sum(map(len, known._schemas)) <= known._MOST_BYTES
    large = message("x" * known._MOST_BYTES)
    assert known_schema(large) is not known_schema(large)


def test_damage_is_told_every_time() -> None:
    broken = file_pb2.Schema(fields=[file_pb2.Field(name="a", id=0, parent_id=7, logical_type="int32")])
    wrong = file_pb2.Schema(fields=[file_pb2.Field(name="a", id=0, parent_id=-1, logical_type="what?")])
    for _ in range(2):
        with pytest.raises(FormatError):
            known_schema(broken)
        with pytest.raises(FormatError):
            _ = known_schema(wrong).whole


def test_readers_share_fields_and_not_rows() -> None:
    files = [encode_batch({"a": [[number], [1, 2]], "b": [{"c": number}, None]}) for number in range(2)]
    readers = [FileReader(file.to_self_described()) for file in files]
    assert readers[0].fields is readers[1].fields
    assert [reader.read_all().to_table()["a"][0].as_py() for reader in readers] == [[0], [1]]
    assert readers[1].read_all(columns=["b.c"]).to_table().to_pylist() == [{"b": {"c": 1}}, {"b": None}]
