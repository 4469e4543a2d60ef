"""Schemas as files store them: fields are made when they are asked for, and are the same as those of the whole schema."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lancelet.container.reader import Container
from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.pb import file_pb2
from lancelet.schema.fields import MAX_DEPTH, Schema, StoredSchema
from lancelet.schema.project import columns_of, project, project_stored
from lancelet.storage import open_source
from lancelet.versions import Version


def stored(*types: pa.DataType) -> file_pb2.Schema:
    fields = [pa.field(f"f{number}", type_) for number, type_ in enumerate(types)]
    return Schema.from_arrow(pa.schema(fields, metadata={"key": "value"})).to_message()


def test_golden_files_part_by_part(golden_root):
    files = sorted(path for path in golden_root.rglob("*.lance") if path.is_file())
    assert files
    for path in files:
        try:
            with open_source(path) as source:
                container = Container.open(source)
                message, version = container.schema_message, container.version
            whole = Schema.from_message(message)
        except LanceletError:  # not all of the corpus can be read
            continue
        check_parts(message, whole, version)


def check_parts(message, whole, version):
    lazy = StoredSchema(message)
    assert columns_of(lazy, version) == columns_of(whole, version)
    assert lazy.nested == tuple(top for top in whole.fields if top.children)
    for top in whole.fields:
        alone = StoredSchema(message)
        assert project_stored(alone, [top.name]) == project(whole, [top.name])
        assert alone.part([top.name]) == Schema((top,), whole.metadata)
    assert lazy.whole == whole
    backwards = [top.name for top in reversed(whole.fields)]
    assert project_stored(StoredSchema(message), backwards) == project(whole, backwards)


@pytest.mark.parametrize("version", [Version.V2_0, Version.V2_1])
def test_columns_of_nested_and_flat_fields(version):
    struct = pa.struct([("a", pa.int8()), ("b", pa.list_(pa.struct([("c", pa.int8()), ("d", pa.string())])))])
    message = stored(
        pa.int32(), struct, pa.string(), pa.list_(pa.int8()), pa.struct([]), pa.list_(pa.int8(), 2)
    )
    whole = Schema.from_message(message)
    owners = columns_of(whole, version)
    assert columns_of(StoredSchema(message), version) == owners
    assert list(owners.values()) == list(range(len(owners)))


def test_children_are_found_below_their_field():
    message = stored(pa.int32(), pa.struct([("a", pa.int8()), ("b.c", pa.int8())]))
    found = project_stored(StoredSchema(message), ["f1.b.c", "f0"])
    assert found == project(Schema.from_message(message), ["f1.b.c", "f0"])
    assert [child.name for child in found.fields[0].children] == ["b.c"]


@pytest.mark.parametrize("names", [["f9"], ["f0.x"], [], ["f0", "f0"], [3], "f0", [""]])
def test_what_no_schema_has_is_refused_like_by_a_whole_one(names):
    message = stored(pa.int32(), pa.struct([("a", pa.int8())]))
    with pytest.raises(OptionError) as expected:
        project(Schema.from_message(message), names)
    with pytest.raises(OptionError) as found:
        project_stored(StoredSchema(message), names)
    assert str(found.value) == str(expected.value)


def test_a_damaged_type_does_not_matter_until_its_field_is_wanted():
    message = stored(pa.int32(), pa.int32(), pa.int32())
    message.fields[1].logical_type = "spoon"
    lazy = StoredSchema(message)
    assert [top.name for top in project_stored(lazy, ["f2", "f0"]).fields] == ["f2", "f0"]
    assert columns_of(lazy, Version.V2_1) == {0: 0, 1: 1, 2: 2}
    for ask in (
        lambda: lazy.whole,
        lambda: project_stored(lazy, ["f1"]),
        lambda: project_stored(lazy, ["no"]),
    ):
        with pytest.raises(FormatError, match=r"'f1'.*spoon"):
            ask()


def test_a_damaged_type_with_children_is_seen_when_columns_are_numbered():
    message = stored(pa.int32(), pa.struct([("a", pa.int8())]))
    message.fields[1].logical_type = "int8"
    with pytest.raises(FormatError, match="children"):
        columns_of(StoredSchema(message), Version.V2_1)


def set_id(fields):
    fields[2].id = 0


def set_negative_id(fields):
    fields[2].id = -4


def set_parent(fields):
    fields[0].parent_id = 9


def set_same_name(fields):
    fields[2].name = "f0"


def set_dot(fields):
    fields[2].name = "f.2"


def set_deep(fields):
    for place in range(3, MAX_DEPTH + 4):
        fields.add(name="deep", id=place, parent_id=place - 1, logical_type="struct", nullable=True)


@pytest.mark.parametrize(
    "damage",
    [set_id, set_negative_id, set_parent, set_same_name, set_dot, set_deep],
    ids=lambda damage: damage.__name__,
)
@pytest.mark.parametrize(
    "others", [(pa.int8(), pa.int8()), (pa.struct([("a", pa.int8())]),)], ids=["flat", "nested"]
)
def test_rules_about_all_fields_hold_before_any_is_made(damage, others):
    message = stored(pa.int32(), *others)
    damage(message.fields)
    if damage is set_same_name and message.fields[2].parent_id >= 0:
        message.fields[1].name = "f0"
    if damage is set_dot:
        message.fields[1].name = "f.1"
    with pytest.raises(LanceletError) as error:
        StoredSchema(message)
    assert isinstance(error.value, (FormatError, UnsupportedError))


def test_a_schema_without_fields():
    assert StoredSchema(file_pb2.Schema()).whole == Schema(())
