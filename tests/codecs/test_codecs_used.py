"""Every codec is really used, by lancelet and by pylance 14.0.2, where data or wishes call for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from lancelet import ColumnOptions, FileReader, FileWriter
from lancelet.anatomy import describe_page
from lancelet.testing import assert_tables_equal
from oracle import oracle

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.anatomy import PageAnatomy

BOTH = ("2.1", "2.2")
ROWS = 5000
RNG = np.random.default_rng(20)

WORDS = ["seldom", "often", "always", "never", "rarely", "mostly", "nearly", "hardly"]
HEX = pa.array([f"{row:x}" for row in range(ROWS)])
SENTENCES = pa.array([" ".join(RNG.choice(WORDS, 6)) + f" {row}" for row in range(ROWS)])
COLOURS = pa.array([f"colour number {number}" for number in RNG.integers(0, 50, ROWS)])
RUNS = pa.array(np.repeat(RNG.integers(-(2**31), 2**31, ROWS // 50), 50), pa.int32())
FLOATS = pa.array((RNG.standard_normal(ROWS).cumsum() + 100).round(1), pa.float32())
RANDOM_LONGS = pa.array(RNG.integers(-(2**63), 2**63 - 1, ROWS))
FEW_LONGS = pa.array(RNG.integers(2**61, 2**62, 40)[RNG.integers(0, 40, ROWS)])
MANY_LONGS = pa.array(RNG.integers(2**40, 2**41, 1200)[np.repeat(RNG.integers(0, 1200, 4000), 8)])
LONG_TEXTS = pa.array([f"{row} " * 4000 + str(RNG.bytes(300)) for row in range(20)])


def with_nulls(array: pa.Array, where: np.ndarray) -> pa.Array:
    return pa.array(array.to_pylist(), array.type, mask=where)


def vectors() -> pa.Array:
    items = with_nulls(pa.array(RNG.standard_normal(3 * ROWS), pa.float32()), RNG.random(3 * ROWS) < 0.1)
    return pa.FixedSizeListArray.from_arrays(items, 3)


@dataclass(frozen=True)
class Case:
    """A column, what is asked for it, and the description of its page."""

    name: str
    array: pa.Array
    expected: str
    wishes: dict[str, Any] = field(default_factory=dict)
    versions: tuple[str, ...] = BOTH
    levels: str = ""


def integer_cases() -> list[Case]:
    cases = []
    for bits in (8, 16, 32, 64):
        small = pa.array(RNG.integers(0, 6, ROWS)).cast(f"int{bits}")
        form = f"inline_bitpacking({bits})"
        # 64 bits get a dictionary from 2.2 on, where it pays
        cases.append(
            Case(f"packed{bits}", small, f"mini-block {form}", versions=("2.1",) if bits == 64 else BOTH)
        )
        cases.append(
            Case(f"plain{bits}", small, f"mini-block flat({bits})", {"compression": "none"}, ("2.1",))
        )
    return cases


CASES = [
    *integer_cases(),
    Case("random", RANDOM_LONGS, "mini-block flat(64)"),
    Case("bools", pa.array(RNG.random(ROWS) < 0.5), "mini-block flat(1)"),
    Case("constant", pa.array([7] * ROWS, pa.int32()), "constant", versions=("2.2",)),
    Case("constant text", pa.array(["seven"] * ROWS), "constant", versions=("2.2",)),
    Case("all null", pa.nulls(ROWS, pa.int32()), "all-null"),
    Case("words", HEX, "mini-block variable(32)"),
    Case(
        "large words",
        pa.array([f"{row:x}" for row in range(900)], pa.large_string()),
        "mini-block variable(64)",
    ),
    Case("bytes", SENTENCES.cast(pa.binary()), "mini-block variable(32)"),
    Case("text", SENTENCES, "mini-block fsst(variable(32))"),
    Case("large text", SENTENCES.cast(pa.large_string()), "mini-block fsst(variable(64))"),
    Case("wish fsst", SENTENCES.cast(pa.binary()), "mini-block fsst(variable(32))", {"compression": "fsst"}),
    Case("zipped text", SENTENCES, "full-zip fsst(variable(32))", {"structural_encoding": "fullzip"}),
    Case("no fsst", SENTENCES, "mini-block variable(32)", {"compression": "none"}),
    Case("runs", RUNS, "mini-block rle(flat(32))"),
    Case("no runs", RUNS, "mini-block flat(32)", {"rle_threshold": 0}),
    Case(
        "packed levels",
        with_nulls(HEX, RNG.random(ROWS) < 0.5),
        "mini-block variable(32)",
        levels="def out_of_line_bitpacking(16, flat(1))",
    ),
    Case(
        "few packed levels",
        with_nulls(HEX[:500], RNG.random(500) < 0.5),
        "mini-block variable(32)",
        levels="def inline_bitpacking(16)",
    ),
    Case(
        "runs of levels",
        with_nulls(HEX, np.arange(ROWS) // 500 % 2 == 0),
        "mini-block variable(32)",
        versions=("2.2",),
        levels="def rle(flat(16))",
    ),
    Case("bss", FLOATS, "mini-block zstd(byte_stream_split(flat(32)))", {"compression": "zstd", "bss": "on"}),
    Case(
        "bss lz4", FLOATS, "mini-block lz4(byte_stream_split(flat(32)))", {"compression": "lz4", "bss": "on"}
    ),
    Case("no bss", FLOATS, "mini-block lz4(flat(32))", {"compression": "lz4", "bss": "off"}),
    Case("zstd", SENTENCES, "mini-block zstd(variable(32))", {"compression": "zstd"}),
    Case("lz4", SENTENCES, "mini-block lz4(variable(32))", {"compression": "lz4"}),
    Case("zstd runs", RUNS, "mini-block rle(flat(32))", {"compression": "zstd", "bss": "off"}),
    Case("long texts", LONG_TEXTS, "full-zip zstd(variable(32))", {"compression": "zstd"}),
    Case(
        "colours",
        COLOURS,
        "mini-block dictionary(50 x variable(32)) inline_bitpacking(32)",
        versions=("2.1",),
    ),
    Case(
        "colours in bytes",
        COLOURS.cast(pa.binary()),
        "mini-block dictionary(50 x variable(32)) inline_bitpacking(32)",
        {"dict_size_ratio": 1.0},
        ("2.1",),
    ),
    Case(
        "colours lz4",
        COLOURS,
        "mini-block dictionary(50 x lz4(variable(32))) inline_bitpacking(32)",
        versions=("2.2",),
    ),
    Case(
        "colours zstd",
        COLOURS,
        "mini-block dictionary(50 x zstd(variable(32))) inline_bitpacking(32)",
        {"dict_values_compression": "zstd", "dict_values_compression_level": 9},
        ("2.2",),
    ),
    Case(
        "colours none",
        COLOURS,
        "mini-block dictionary(50 x variable(32)) inline_bitpacking(32)",
        {"dict_values_compression": "none"},
        ("2.2",),
    ),
    Case("no dictionary", COLOURS, "mini-block fsst(variable(32))", {"dict_divisor": 1000}),
    Case("no dictionary in bytes", COLOURS, "mini-block fsst(variable(32))", {"dict_max_bytes": 0}),
    Case(
        "dictionary of 64 bits",
        FEW_LONGS,
        "mini-block dictionary(40 x flat(64)) inline_bitpacking(32)",
        {"dict_values_compression": "none"},
        ("2.2",),
    ),
    Case(
        "packed dictionary",
        MANY_LONGS,
        "mini-block dictionary(1157 x out_of_line_bitpacking(64, flat(41))) rle(flat(32))",
        versions=("2.2",),
    ),
    Case(
        "dictionary of 128 bits",
        pa.array(RNG.integers(0, 40, ROWS)).cast(pa.decimal128(20, 0)),
        "mini-block dictionary(40 x flat(128)) inline_bitpacking(32)",
        versions=("2.1",),
    ),
    Case("vectors", vectors(), "mini-block fixed_size_list(3 x flat(32), validity)"),
    Case(
        "zipped vectors",
        vectors(),
        "full-zip fixed_size_list(3 x flat(32), validity)",
        {"structural_encoding": "fullzip"},
    ),
]
KEYS = {"dict_max_bytes": "dict-max-size"}
PARAMS = [
    pytest.param(case, version, id=f"{version}-{case.name}") for case in CASES for version in case.versions
]


def keys_of(wishes: dict[str, Any]) -> dict[str, str]:
    """Return wishes as field metadata."""
    return {
        f"lance-encoding:{KEYS.get(name, name.replace('_', '-'))}": str(value)
        for name, value in wishes.items()
    }


def only_page(path: Path) -> PageAnatomy:
    with FileReader(path) as reader:
        (column,) = reader.metadata()
    (page,) = column.pages
    return describe_page(page)


def check(path: Path, case: Case, table: pa.Table) -> None:
    page = only_page(path)
    assert str(page) == case.expected
    if case.levels:
        assert page.levels_text == case.levels
    with FileReader(path) as reader:
        assert_tables_equal(reader.read_all().to_table(), table)


@pytest.mark.parametrize(("case", "version"), PARAMS)
def test_lancelet_uses_it(case: Case, version: str, tmp_path: Path) -> None:
    table = pa.table({"column": case.array})
    path = tmp_path / "ours.lance"
    with FileWriter(path, version=version, columns={"column": ColumnOptions(**case.wishes)}) as writer:
        writer.write_table(table)
    check(path, case, table)
    assert_tables_equal(oracle("14.0.2").read(path)[0], table)


@pytest.mark.parametrize(("case", "version"), PARAMS)
def test_pylance_uses_it(case: Case, version: str, tmp_path: Path) -> None:
    schema = pa.schema([pa.field("column", case.array.type, metadata=keys_of(case.wishes))])
    table = pa.table([case.array], schema)
    path = tmp_path / "theirs.lance"
    oracle("14.0.2").write(path, table, version)
    check(path, case, table)


@pytest.mark.parametrize("version", BOTH)
def test_level_of_zstd_by_field_metadata(version: str, tmp_path: Path) -> None:
    metadata = keys_of({"compression": "zstd", "compression_level": 6})
    table = pa.table([SENTENCES], pa.schema([pa.field("column", pa.string(), metadata=metadata)]))
    ours, theirs = tmp_path / "ours.lance", tmp_path / "theirs.lance"
    with FileWriter(ours, version=version) as writer:
        writer.write_table(table)
    oracle("14.0.2").write(theirs, table, version)
    for path in (ours, theirs):
        codec = only_page(path).codecs["values"]
        assert codec.text == "zstd(variable(32))"
        assert codec.params["level"] == 6
        with FileReader(path) as reader:
            assert_tables_equal(reader.read_all().to_table(), table)


def test_a_level_changes_the_size(tmp_path: Path) -> None:
    sizes = []
    for level in (-5, 1, 19):
        path = tmp_path / f"{level}.lance"
        with FileWriter(
            path, columns={"column": ColumnOptions(compression="zstd", compression_level=level)}
        ) as writer:
            writer.write_table(pa.table({"column": SENTENCES}))
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("version", BOTH)
def test_rle_of_three_runs_under_lz4(version: str, tmp_path: Path) -> None:
    values = np.repeat([2_000_000_001, 5, 1_999_999_999], [8000, 1500, 500]).astype(np.int32)
    path = tmp_path / "runs.lance"
    wishes = ColumnOptions(rle_threshold=0.9, compression="lz4", bss="off")
    with FileWriter(path, version=version, columns={"v": wishes}) as writer:
        writer.write_table(pa.table({"v": values}))
    assert only_page(path).values_text == "rle(flat(32))"


@pytest.mark.parametrize("version", BOTH)
def test_rle_of_id_columns_by_pattern(version: str, tmp_path: Path) -> None:
    """Pages of 64 KiB: 8192 values of 64 bits."""
    from lancelet import CompressionFieldParams, CompressionParams

    rules = CompressionParams(columns={"*_id": CompressionFieldParams(rle_threshold=0.5, bss="off")})
    table = pa.table(
        {
            "user_id": np.repeat(RNG.integers(0, 2**40, 8192), 4),
            "order_id": np.repeat(RNG.integers(0, 2**50, 4096), 8),
            "score": RNG.integers(0, 2**20, 32768),
        }
    )
    path = tmp_path / "ids.lance"
    with FileWriter(path, version=version, compression_params=rules, max_page_bytes=65536) as writer:
        writer.write_table(table)
    with FileReader(path) as reader:
        pages = [{describe_page(page).values_text for page in column.pages} for column in reader.metadata()]
        num_pages = [len(column.pages) for column in reader.metadata()]
        assert_tables_equal(reader.read_all().to_table(), table)
    assert pages == [{"rle(flat(64))"}, {"rle(flat(64))"}, {"inline_bitpacking(64)"}]
    assert min(num_pages) >= 4
    assert_tables_equal(oracle("14.0.2").read(path)[0], table)
