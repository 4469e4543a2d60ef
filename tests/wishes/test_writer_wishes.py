"""Wishes at the writer: paths of columns, rules, profiles, and that nothing is dropped silently."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from lancelet import (
    ColumnOptions,
    CompressionFieldParams,
    CompressionParams,
    FileReader,
    FileWriter,
    OptionError,
)
from lancelet.anatomy import describe_page
from lancelet.testing import assert_tables_equal
from oracle import oracle

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 4000
RNG = np.random.default_rng(8)
NUMBERS = pa.array(RNG.integers(0, 1000, ROWS), pa.int32())
TEXT = pa.array([f"row {row} of many, in words that come again" for row in range(ROWS)])
NESTED = pa.table(
    {
        "s": pa.StructArray.from_arrays([NUMBERS, TEXT, NUMBERS], ["a", "b", "c"]),
        "l": pa.ListArray.from_arrays(np.arange(0, ROWS + 1, 4, dtype=np.int32), NUMBERS).take(
            pa.array(np.arange(ROWS) % 1000)
        ),
    }
)


def written(path: Path, table: pa.Table, **options: Any) -> list[str]:
    """Write a table; returns the codecs of the only page of each column."""
    with FileWriter(path, **options) as writer:
        writer.write_table(table)
    with FileReader(path) as reader:
        assert_tables_equal(reader.read_all().to_table(), table)
        return [describe_page(page).values_text for column in reader.metadata() for page in column.pages]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {},
            ["inline_bitpacking(32)", "fsst(variable(32))", "inline_bitpacking(32)", "inline_bitpacking(32)"],
        ),
        ({"s": {"compression": "none"}}, ["flat(32)", "variable(32)", "flat(32)", "inline_bitpacking(32)"]),
        (
            {"s.a": {"compression": "none"}},
            ["flat(32)", "fsst(variable(32))", "inline_bitpacking(32)", "inline_bitpacking(32)"],
        ),
        (
            {"s": {"compression": "none"}, "s.b": {"compression": "zstd"}},
            ["flat(32)", "zstd(variable(32))", "flat(32)", "inline_bitpacking(32)"],
        ),
        (
            {"l.item": {"compression": "none"}},
            ["inline_bitpacking(32)", "fsst(variable(32))", "inline_bitpacking(32)", "flat(32)"],
        ),
        (
            {"l": {"compression": "none"}},
            ["inline_bitpacking(32)", "fsst(variable(32))", "inline_bitpacking(32)", "flat(32)"],
        ),
    ],
    ids=str,
)
def test_paths(columns: dict[str, dict[str, Any]], expected: list[str], tmp_path: Path) -> None:
    options = {name: ColumnOptions(**wishes) for name, wishes in columns.items()}
    path = tmp_path / "nested.lance"
    assert written(path, NESTED, columns=options) == expected
    assert_tables_equal(oracle("14.0.2").read(path)[0], NESTED)


def test_layout_of_one_leaf(tmp_path: Path) -> None:
    path = tmp_path / "layout.lance"
    with FileWriter(path, columns={"s.b": ColumnOptions(structural_encoding="fullzip")}) as writer:
        writer.write_table(NESTED.select(["s"]))
    with FileReader(path) as reader:
        layouts = [describe_page(column.pages[0]).layout for column in reader.metadata()]
    assert layouts == ["mini-block", "full-zip", "mini-block"]
    assert_tables_equal(oracle("14.0.2").read(path)[0], NESTED.select(["s"]))


@pytest.mark.parametrize(
    ("name", "hint"), [("sa", "s.a"), ("s.d", "s.a"), ("l.items", "l.item"), ("item", "l.item"), ("x", None)]
)
def test_unknown_names_are_refused_with_the_nearest(name: str, hint: str | None, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=f"names '{name}', which is no field") as caught:
        FileWriter(tmp_path / "x.lance", NESTED.schema, columns={name: ColumnOptions()})
    assert hint is None or f"'{hint}'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_options_are_options(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="must be ColumnOptions, not dict"):
        FileWriter(tmp_path / "x.lance", NESTED.schema, columns={"s": {}})  # type: ignore[dict-item]


def test_rules_are_rules(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="must be CompressionParams, not dict"):
        FileWriter(tmp_path / "x.lance", compression_params={})  # type: ignore[arg-type]


def test_a_wish_for_all_leaves_has_to_suit_all(tmp_path: Path) -> None:
    message = r"field 'a' \(below 's'\), int32: compression='fsst' cannot be fulfilled"
    with pytest.raises(OptionError, match=message):
        FileWriter(tmp_path / "x.lance", NESTED.schema, columns={"s": ColumnOptions(compression="fsst")})
    with (
        pytest.raises(OptionError, match=message),
        FileWriter(tmp_path / "x.lance", columns={"s": ColumnOptions(compression="fsst")}) as writer,
    ):
        writer.write_table(NESTED)
    assert list(tmp_path.iterdir()) == []


def test_the_order(tmp_path: Path) -> None:
    """Metadata, options, rule of the name, rule of the type."""
    names = ["by_type", "by_name", "by_option", "by_metadata"]
    metadata = {"lance-encoding:compression": "none"}
    schema = pa.schema(
        [pa.field(name, pa.int32(), metadata=metadata if "meta" in name else None) for name in names]
    )
    rules = CompressionParams(
        types={"Int32": CompressionFieldParams(compression="zstd", compression_level=1)},
        columns={
            "by_name": CompressionFieldParams(compression="lz4"),
            "*option": CompressionFieldParams(compression="lz4"),
            "*metadata": CompressionFieldParams(compression="lz4"),
        },
    )
    options = {name: ColumnOptions(bss="off") for name in names} | {
        "by_option": ColumnOptions(compression="none"),
        "by_metadata": ColumnOptions(compression="lz4", bss="off"),
    }
    values = pa.array(
        np.repeat(RNG.standard_normal(40), 100)[RNG.permutation(ROWS)].astype(np.float32).view(np.int32)
    )
    table = pa.table([values] * 4, schema)
    path = tmp_path / "order.lance"
    found = written(path, table, compression_params=rules, columns=options)
    assert found == ["zstd(flat(32))", "lz4(flat(32))", "flat(32)", "flat(32)"]
    assert_tables_equal(oracle("14.0.2").read(path)[0], table)


def test_metadata_that_does_not_suit_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    field = pa.field("n", pa.int32(), metadata={"lance-encoding:compression": "fsst"})
    with caplog.at_level(logging.WARNING, "lancelet"):
        found = written(tmp_path / "n.lance", pa.table([NUMBERS], pa.schema([field])))
    assert found == ["inline_bitpacking(32)"]
    assert "compression='fsst' in field metadata is ignored: symbol tables are for text" in caplog.text


def test_children_of_packed_structs_have_wishes_of_their_own(tmp_path: Path) -> None:
    struct = pa.StructArray.from_arrays([NUMBERS, TEXT], ["n", "t"])
    schema = pa.schema([pa.field("p", struct.type, metadata={"lance-encoding:packed": "true"})])
    table = pa.table([struct], schema)
    found = {}
    for wish in ("none", "fsst", "zstd"):
        path = tmp_path / f"{wish}.lance"
        found[wish] = written(path, table, columns={"p.t": ColumnOptions(compression=wish)})
        assert_tables_equal(oracle("14.0.2").read(path)[0], table)
    assert [texts[0].partition("flat(32), ")[2] for texts in found.values()] == [
        "variable(32))",
        "fsst(variable(32)))",
        "zstd(variable(32)))",
    ]
    with pytest.raises(OptionError, match="packed structs are stored as they are"):
        FileWriter(tmp_path / "x.lance", schema, columns={"p": ColumnOptions(compression="zstd")})
    with pytest.raises(OptionError, match=r"below 'p'.*values of one width"):
        FileWriter(tmp_path / "x.lance", schema, columns={"p.n": ColumnOptions(compression="zstd")})


# ---- profiles


def test_unknown_profiles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match="profile is 'best'; it may be 'balanced', 'small', 'fast', 'reference'"
    ):
        FileWriter(tmp_path / "x.lance", profile="best")


PROFILE_TABLE = pa.table(
    {
        "text": TEXT,
        "other text": TEXT.cast(pa.large_string()),
        "numbers": NUMBERS,
        "noise": pa.array(RNG.integers(-(2**62), 2**62, ROWS)),
        "small": pa.array(np.tile(np.arange(100), ROWS // 100), pa.int64()),
        "colours": pa.array([f"colour {number}" for number in RNG.integers(0, 40, ROWS)]),
        "vectors": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2 * ROWS, np.float32)), 2),
    }
)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_profiles(version: str, tmp_path: Path) -> None:
    found, sizes = {}, {}
    for profile in ("fast", "balanced", "small", "reference"):
        path = tmp_path / f"{profile}.lance"
        found[profile] = written(path, PROFILE_TABLE, profile=profile, version=version)
        sizes[profile] = path.stat().st_size
        assert_tables_equal(oracle("14.0.2").read(path)[0], PROFILE_TABLE)
    assert sizes["small"] < sizes["balanced"] < sizes["fast"]
    assert not any("fsst" in text or "zstd" in text or "lz4" in text for text in found["fast"])
    assert found["balanced"][0] == found["reference"][0] == "fsst(variable(32))"
    assert found["small"][0] == "zstd(variable(32))"
    assert found["small"][3] == "flat(64)", "zstd takes nothing off noise"
    # the reference compares a dictionary with the raw size only
    packed = "inline_bitpacking(64)"
    assert found["balanced"][4] == packed
    assert found["reference"][4] == (
        packed if version == "2.1" else "dictionary(100 x lz4(flat(64))) inline_bitpacking(32)"
    )


@pytest.mark.parametrize("profile", ["balanced", "small", "fast", "reference"])
def test_long_texts(profile: str, tmp_path: Path) -> None:
    table = pa.table({"long": [f"{row} " * 20000 for row in range(8)]})
    path = tmp_path / "long.lance"
    wanted = "variable(32)" if profile == "fast" else "zstd(variable(32))"
    assert written(path, table, profile=profile) == [wanted]
    assert_tables_equal(oracle("14.0.2").read(path)[0], table)


def test_constants_with_nulls(tmp_path: Path) -> None:
    """Levels of a constant page are not compressed: the reference writes it all the same."""
    table = pa.table({"x": pa.array([7, 7, 7, None] * 5000, pa.int64())})
    layouts, sizes = {}, {}
    for profile in ("balanced", "reference"):
        path = tmp_path / f"{profile}.lance"
        written(path, table, profile=profile)
        with FileReader(path) as reader:
            layouts[profile] = describe_page(reader.metadata()[0].pages[0]).layout
        sizes[profile] = path.stat().st_size
        assert_tables_equal(oracle("14.0.2").read(path)[0], table)
    assert layouts == {"balanced": "mini-block", "reference": "constant"}
    assert sizes["balanced"] < sizes["reference"]


def test_a_layout_that_is_asked_for_comes_before_a_dictionary(tmp_path: Path) -> None:
    colours = PROFILE_TABLE.select(["colours"])
    wish = {"colours": ColumnOptions(structural_encoding="fullzip")}
    assert written(tmp_path / "ours.lance", colours, columns=wish) == ["fsst(variable(32))"]
    assert "dictionary" in written(tmp_path / "theirs.lance", colours, columns=wish, profile="reference")[0]


def test_symbol_tables_that_do_not_pay(tmp_path: Path) -> None:
    """Below 32 KiB of text the reference writes a table that is switched off, lancelet writes none."""
    few = pa.table({"t": [f"{row:012d}" for row in range(2100)]})
    assert written(tmp_path / "ours.lance", few, version="2.1") == ["variable(32)"]
    path = tmp_path / "theirs.lance"
    assert written(path, few, version="2.1", profile="reference") == ["fsst(variable(32))"]
    assert_tables_equal(oracle("14.0.2").read(path)[0], few)
