"""The envelope of every file of the corpus, of its damaged files, and of files with random damage."""

from __future__ import annotations

import json
import random
import time

import pytest

from lancelet.container import Container
from lancelet.errors import FormatError, LanceletError
from lancelet.schema import Schema, columns_of
from lancelet.storage import open_source
from lancelet.storage.memory import MemorySource
from lancelet.versions import Version

#: Defects whose damage the envelope shows; those of page data are for the decoders.
ENVELOPE = (
    "empty",
    "trunc_",
    "foot_",
    "cmo_pos_",
    "cmo_size_",
    "gbo_",
    "page_buf_size_huge",
    "page_buf_pos_",
    "page_no_enc",
)


@pytest.fixture
def corpus(golden_root):
    return golden_root


def read_everything(source) -> Container:
    """Open a file, parse its schema and all columns, and check the rows."""
    container = Container.open(source)
    try:
        schema = Schema.from_message(container.schema_message)
    except FormatError as error:
        raise error.locate(path=source.name) from None
    schema.to_arrow()
    slots: dict[int, int] = {}
    for top in schema.fields:
        note_slots(top, 1, slots)
    for field_id, column in columns_of(schema, container.version).items():
        if container.version >= Version.V2_1 and column < container.num_columns:
            container.check_rows(column, slots[field_id])
    for column in range(container.num_columns):
        container.column(column)
    return container


def note_slots(field, slots: int, result: dict[int, int]) -> None:
    """Note how many items a row of a field stands for: fixed-size lists of structs multiply them."""
    result[field.id] = slots
    if field.logical_type.startswith("fixed_size_list:struct:"):
        slots *= field.arrow_type.list_size
    for child in field.children:
        note_slots(child, slots, result)


def test_every_file_opens(corpus):
    versions: dict[Version, int] = {}
    paths = [path for path in corpus.rglob("*.lance") if path.is_file() and path.parent.name != "corrupt"]
    for path in paths:
        with open_source(path) as source:
            container = read_everything(source)
            versions[container.version] = versions.get(container.version, 0) + 1
    print(f"{len(paths)} files opened:", {version.text: count for version, count in sorted(versions.items())})
    assert set(versions) >= {Version.V2_1, Version.V2_2}


def test_damaged_files_give_data_or_an_error(corpus):
    cases = [json.loads(line) for line in (corpus / "corrupt" / "index.jsonl").read_text().splitlines()]
    missed = []
    raised = unnamed = 0
    for case in cases:
        started = time.monotonic()
        try:
            with open_source(corpus / case["file"]) as source:
                read_everything(source)
        except LanceletError as error:
            raised += 1
            unnamed += source.name not in str(error)
        else:
            if case["must_error"] and case["defect"].startswith(ENVELOPE):
                missed.append(case["file"])
        assert time.monotonic() - started < 5
    print(f"{len(cases)} damaged files, {raised} of them refused by the envelope")
    assert missed == []
    assert unnamed == 0


@pytest.mark.parametrize(
    "name",
    [
        "corrupt/flat20.lance",
        "corrupt/nested21.lance",
        "corrupt/comp22.lance",
        "files/p14.0.2/v2.3/map_n20.lance",
    ],
)
def test_random_damage_gives_data_or_an_error(corpus, name):
    if not (corpus / name).is_file():
        pytest.skip(f"{name} is only in the whole corpus")
    whole = (corpus / name).read_bytes()
    random_ = random.Random(name)
    envelope = int.from_bytes(whole[-40:-32], "little")
    descriptor = int.from_bytes(whole[-56:-48], "little")
    outcomes = {"data": 0, "error": 0}
    for round_ in range(400):
        data = bytearray(whole)
        for _ in range(random_.choice((1, 1, 2, 5))):
            start = random_.choice((descriptor, envelope, len(whole) - 40))
            data[random_.randrange(start, len(data))] = random_.choice(
                (0, 1, 0x7F, 0x80, 0xFF, random_.randrange(256))
            )
        if round_ % 8 == 0:
            start = random_.randrange(len(data))
            del data[start : start + random_.randrange(1, 100)]
        try:
            read_everything(MemorySource(bytes(data)))
            outcomes["data"] += 1
        except LanceletError:
            outcomes["error"] += 1
    print(name, outcomes)
    assert min(outcomes.values()) > 20
