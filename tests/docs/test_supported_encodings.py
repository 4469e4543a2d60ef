"""The table of encodings of docs/supported.md tells the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lancelet import ColumnOptions, FileReader, FileWriter, OptionError, UnsupportedError
from lancelet.anatomy import describe_page
from lancelet.testing import assert_tables_equal
from oracle import oracle

PAGE = Path(__file__).resolve().parents[2] / "docs" / "supported.md"
ROWS = 3000
RNG = np.random.default_rng(11)
TEXT = pa.array([f"row {row} of some text with words" for row in range(ROWS)])
NUMBERS = pa.array(RNG.integers(0, 100, ROWS), pa.int32())
FLOATS = pa.array((RNG.standard_normal(ROWS).cumsum() + 50).round(1), pa.float32())
NULLS = RNG.random(ROWS) < 0.5


@dataclass(frozen=True)
class Sample:
    """A column that takes an encoding: by itself, or when it is asked for."""

    array: pa.Array
    wishes: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def packed(*children: pa.Array) -> Sample:
    array = pa.StructArray.from_arrays(children, [f"c{number}" for number in range(len(children))])
    return Sample(array, metadata={"lance-encoding:packed": "true"})


SAMPLES = {
    "mini-block": Sample(NUMBERS),
    "full-zip": Sample(pa.array([bytes([row % 256]) * 300 for row in range(50)], pa.binary(300))),
    "all-null": Sample(pa.nulls(ROWS, pa.int32())),
    "constant": Sample(pa.array([7] * ROWS, pa.int32())),
    "blob": Sample(pa.array([b"a", b"bc"], pa.large_binary()), metadata={"lance-encoding:blob": "true"}),
    "flat": Sample(pa.array(RNG.integers(-(2**62), 2**62, ROWS))),
    "inline_bitpacking": Sample(NUMBERS),
    "out_of_line_bitpacking": Sample(pa.array([f"{row:x}" for row in range(ROWS)], mask=NULLS)),
    "rle": Sample(pa.array(np.repeat(RNG.integers(0, 2**31, ROWS // 50), 50), pa.int32())),
    "byte_stream_split": Sample(FLOATS, {"compression": "zstd", "bss": "on"}),
    "variable": Sample(pa.array([f"{row:x}" for row in range(ROWS)])),
    "fsst": Sample(TEXT),
    "dictionary": Sample(pa.array([f"colour {number}" for number in RNG.integers(0, 40, ROWS)])),
    "lz4": Sample(TEXT, {"compression": "lz4"}),
    "zstd": Sample(pa.array([f"{row} " * 20_000 for row in range(8)])),
    "fixed_size_list": Sample(pa.FixedSizeListArray.from_arrays(FLOATS, 3)),
    "packed_struct": packed(NUMBERS, FLOATS),
    "variable_packed_struct": packed(NUMBERS, TEXT),
}
#: In 2.2 dictionaries are under lz4 without being asked for.
UNASKED = {("lz4", "2.2"): SAMPLES["dictionary"]}


def rows_of_table() -> dict[str, dict[str, str]]:
    text = PAGE.read_text().partition("## Encodings of 2.1 and 2.2\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return {
        row[0].strip("`").removesuffix(" pages"): dict(zip(cells[0], row, strict=True)) for row in cells[2:]
    }


TABLE = rows_of_table()


def description(path: Path) -> str:
    with FileReader(path) as reader:
        pages = [describe_page(page) for column in reader.metadata() for page in column.pages]
    return " ".join(f"{page} {page.levels_text}" for page in pages).replace("(", " ").replace(")", " ")


def table_of(sample: Sample) -> pa.Table:
    return pa.table([sample.array], pa.schema([pa.field("x", sample.array.type, metadata=sample.metadata)]))


def write(path: Path, sample: Sample, version: str) -> None:
    with FileWriter(path, version=version, columns={"x": ColumnOptions(**sample.wishes)}) as writer:
        writer.write_table(table_of(sample))


def test_every_listed_encoding_has_a_sample() -> None:
    assert list(TABLE) == list(SAMPLES)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
@pytest.mark.parametrize("name", TABLE)
def test_encodings(name: str, version: str, tmp_path: Path) -> None:
    path, cell = tmp_path / "page.lance", TABLE[name][version]
    sample = UNASKED.get((name, version), SAMPLES[name]) if cell != "on request" else SAMPLES[name]
    if cell == "no":
        with pytest.raises((UnsupportedError, OptionError)):
            write(path, sample, version)
        return
    if cell == "read":
        write(path, sample, version)
        assert name not in description(path).split(), "it is written, the page says it is not"
        write(path, sample, "2.2")
        as_version(path, version)
    else:
        assert cell == "on request" if sample.wishes else cell in ("on request", "read, write")
        write(path, sample, version)
        if name != "blob":  # pylance gives a description of each
            assert_tables_equal(oracle("14.0.2").read(path)[0], table_of(sample))
    assert name in description(path).split()
    with FileReader(path) as reader:
        assert reader.version.text == version
        assert_tables_equal(reader.read_all().to_table(), table_of(sample))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        (name, version)
        for name, row in TABLE.items()
        for version in ("2.1", "2.2")
        if row[version] == "on request"
    ],
)
def test_what_is_on_request_is_not_written_without(name: str, version: str, tmp_path: Path) -> None:
    path = tmp_path / "page.lance"
    write(path, Sample(SAMPLES[name].array), version)
    assert name not in description(path).split()


def as_version(path: Path, version: str) -> None:
    """Change the version in the footer (container.md 2): two numbers before the magic."""
    data = bytearray(path.read_bytes())
    data[-6:-4] = int(version.partition(".")[2]).to_bytes(2, "little")
    path.write_bytes(data)
