"""The schema of every usable file of the corpus is that of its expected table."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from lancelet.container import Container
from lancelet.schema import Schema, check_version, columns_of
from lancelet.storage import open_source


@pytest.fixture(scope="module")
def cases(golden_root):
    found = []
    for index in sorted(golden_root.glob("index.*.jsonl")):
        for line in index.read_text().splitlines():
            case = json.loads(line)
            if case["status"] == "ok":
                found.append(case)
    return found


def test_schemas_are_as_expected(golden_root, cases):
    wrong = []
    for case in cases:
        with open_source(golden_root / case["file"]) as source:
            container = Container.open(source)
        schema = Schema.from_message(container.schema_message)
        with pa.memory_map(str(golden_root / case["expected"])) as file:
            expected = pa.ipc.open_file(file).schema
        place = (case["case"], case["version"], case["writer"])
        if not schema.to_arrow().equals(expected, check_metadata=True):
            wrong.append((*place, "schema"))
        if list(columns_of(schema, container.version).values()) != list(range(container.num_columns)):
            wrong.append((*place, "columns"))
        # JSON of 4.0.1 was stored under the name arrow.json; it is read, and written, as lance.json.
        if not (case["case"] == "ext_json" and case["writer"] == "4.0.1"):
            message = container.schema_message
            message.DiscardUnknownFields()  # the reserved field 11 of old writers
            for again in (schema, Schema.from_arrow(expected)):
                if again.to_message() != message:
                    wrong.append((*place, "message"))
        check_version(Schema.from_arrow(expected), container.version)
    print(f"{len(cases)} schemas equal to the expected ones, metadata included")
    assert wrong == []
    assert len(cases) > 50
