"""Fields to physical columns, names to fields, and what versions can hold."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lancelet.errors import OptionError
from lancelet.schema import Schema, check_version, columns_of, project
from lancelet.versions import Version

POINT = pa.struct([("x", pa.int8()), ("y", pa.int16())])
PACKED = {"lance-encoding:packed": "true"}
SCHEMA = Schema.from_arrow(
    pa.schema(
        [
            pa.field("i", pa.int32()),
            pa.field(
                "s", pa.struct([pa.field("a", pa.int8()), pa.field("p", POINT), pa.field("n.o", pa.int8())])
            ),
            pa.field("packed", POINT, metadata=PACKED),
            pa.field("old", POINT, metadata={"packed": "true"}),
            pa.field("l", pa.list_(POINT)),
            pa.field("e", pa.struct([])),
            pa.field("v", pa.list_(pa.float32(), 4)),
            pa.field("b", pa.large_binary(), metadata={"lance-encoding:blob": "true"}),
            pa.field("d", pa.dictionary(pa.int8(), pa.string())),
        ],
        metadata={"k": "v"},
    )
)


def owners(schema: Schema, version: Version) -> list[str]:
    """Names of the fields that own columns, in the order of the columns."""
    names = {found.id: found.name for found in schema.walk()}
    columns = columns_of(schema, version)
    assert list(columns.values()) == list(range(len(columns)))
    return [names[id_] for id_ in columns]


def test_columns():
    leaves = ["i", "a", "x", "y", "n.o", "packed", "old", "x", "y", "e", "v", "b", "d"]
    nodes = ["i", "s", "a", "p", "x", "y", "n.o", "packed", "old", "l", "item", "x", "y", "e", "v", "b", "d"]
    assert owners(SCHEMA, Version.V2_0) == nodes
    assert (
        owners(SCHEMA, Version.V2_1) == owners(SCHEMA, Version.V2_2) == owners(SCHEMA, Version.V2_3) == leaves
    )


def test_columns_of_maps_and_lists_of_structs():
    schema = Schema.from_arrow(
        pa.schema(
            [
                pa.field("m", pa.map_(pa.string(), POINT)),
                pa.field("f", pa.list_(POINT, 2)),
                pa.field("i", pa.int8()),
            ]
        )
    )
    assert owners(schema, Version.V2_2) == ["key", "x", "y", "x", "y", "i"]
    assert owners(schema, Version.V2_0)[-2:] == ["f", "i"]


@pytest.mark.parametrize(
    ("metadata", "packed"),
    [
        ({"lance-encoding:packed": "TRUE"}, (True, True)),
        ({"lance-encoding:packed": "false"}, (True, False)),
        ({"packed": "True"}, (False, True)),
        ({"packed": "no"}, (False, False)),
        ({"lance-encoding:blob": "true"}, (True, True)),
    ],
)
def test_what_is_packed(metadata, packed):
    schema = Schema.from_arrow(pa.schema([pa.field("p", POINT, metadata=metadata)]))
    assert tuple(len(columns_of(schema, version)) == 1 for version in (Version.V2_0, Version.V2_1)) == packed


def arrow(*names: str) -> pa.Schema:
    return project(SCHEMA, names).to_arrow()


def test_projection():
    with pytest.raises(OptionError, match="at least one column"):
        arrow()
    assert arrow("v", "i").names == ["v", "i"]
    assert arrow("i").metadata == {b"k": b"v"}
    assert arrow("s") == pa.schema([SCHEMA.to_arrow().field("s")])
    assert arrow("s.p.y", "i", "s.a").field(0).type == pa.struct(
        [pa.field("p", pa.struct([("y", pa.int16())])), pa.field("a", pa.int8())]
    )
    assert arrow("s.n.o").field(0).type == pa.struct([("n.o", pa.int8())])
    part = project(SCHEMA, ["s.p.y", "d"])
    whole = {found.id: found.name for found in SCHEMA.walk()}
    assert all(whole[found.id] == found.name for found in part.walk())
    assert arrow("packed").field(0).metadata == {b"lance-encoding:packed": b"true"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["vv"], "'vv'.*'v'"),
        (["s.pp"], r"'s\.p'"),
        (["S"], "nearest"),
        (["i.x"], "'i.x'"),
        (["l.item"], "'l.item'"),
        (["s."], "'s.'"),
        (["i", "i"], "twice"),
        (["s", "s.a"], "twice"),
        (["s.a", "s"], "twice"),
        (["s.a", "s.a"], "twice"),
        (["packed.x"], "one column"),
        (["old.x"], "one column"),
        ("i", "list of names"),
    ],
)
def test_names_that_mean_nothing(names, message):
    with pytest.raises(OptionError, match=message):
        project(SCHEMA, names)


def test_unknown_names_in_an_empty_schema():
    with pytest.raises(OptionError, match="none"):
        project(Schema(()), ["a"])


def packed(*types: pa.DataType) -> pa.Field:
    return pa.field(
        "f", pa.struct([(f"c{index}", type_) for index, type_ in enumerate(types)]), metadata=PACKED
    )


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        (pa.field("f", pa.map_(pa.string(), pa.int8())), "2.2 2.3"),
        (pa.field("f", pa.list_(POINT, 2)), "2.2 2.3"),
        (pa.field("f", pa.list_(pa.list_(POINT, 2))), "2.3"),
        (pa.field("f", pa.list_(pa.struct([]))), "2.0 2.3"),
        (pa.field("f", pa.struct([])), "2.0 2.1 2.2 2.3"),
        (packed(pa.int8(), pa.float64()), "2.0 2.1 2.2 2.3"),
        (packed(pa.int8(), pa.string()), "2.2 2.3"),
        (packed(pa.int8(), pa.list_(pa.int8(), 2)), "2.0 2.2 2.3"),
        (pa.field("f", POINT, metadata={"packed": "TRUE"}), "2.1 2.2 2.3"),
        (pa.field("f", POINT, metadata={"packed": "false"}), ""),
        (pa.field("f", pa.large_binary(), metadata={"lance-encoding:blob": "true"}), "2.0 2.1 2.2"),
        (pa.field("f", pa.binary(), metadata={"lance-encoding:blob": "true"}), ""),
        (pa.field("f", POINT, metadata={"ARROW:extension:name": "lance.blob.v2"}), "2.2 2.3"),
        (pa.field("f", pa.struct([pa.field("m", pa.map_(pa.string(), pa.int8()))])), "2.2 2.3"),
        (pa.field("f", pa.string(), metadata={"packed": "other"}), "2.0 2.1 2.2 2.3"),
    ],
)
def test_limits_of_versions(field, allowed):
    schema = Schema.from_arrow(pa.schema([field]))
    for version in Version:
        if version.text in allowed.split():
            check_version(schema, version)
        else:
            with pytest.raises(OptionError, match="field 'f"):
                check_version(schema, version)
