"""The page on filters lists what there is, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lancelet.filters.functions import ALIASES, DATE_PARTS, FUNCTIONS
from lancelet.filters.parse import _TYPES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "filters.md"
TEXT = PAGE.read_text()
ROW = re.compile(r"^\| `(\w+)\((.*?)\)` \|(.*?)\|", re.MULTILINE)


def rows() -> dict[str, tuple[str, list[str]]]:
    section = TEXT.partition("## Functions")[2].partition("\n## ")[0]
    return {
        name: (arguments, re.findall(r"`(\w+)`", aliases))
        for name, arguments, aliases in ROW.findall(section)
    }


def test_the_functions_are_those_of_the_table() -> None:
    assert list(rows()) == sorted(FUNCTIONS)
    assert {alias: name for name, (_, aliases) in rows().items() for alias in aliases} == ALIASES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_arguments_are_those_of_the_table(name: str) -> None:
    shown, _, left_out = rows()[name][0].partition("[")
    names = [one for one in re.split(r", ", shown) if one and one != "..."]
    optional = [one for one in left_out.strip("]").split(", ") if one]
    described = FUNCTIONS[name]
    assert len(names) == len(described.arguments) - described.optional
    assert len(optional) == described.optional
    assert ("..." in shown) == described.variadic


def test_the_parts_of_dates_are_listed() -> None:
    (row,) = (line for line in TEXT.splitlines() if line.startswith("| `date_part("))
    assert re.findall(r"`(\w+)`", row) == list(DATE_PARTS)


def test_the_types_of_casts_are_listed() -> None:
    (row,) = (line for line in TEXT.splitlines() if line.startswith("| `CAST("))
    listed = {*re.findall(r"`([A-Z]+)", row)} - {"CAST", "TRY_CAST", "UNSIGNED", "TRY", "DECIMAL"}
    synonyms = {"TEXT": "STRING", "VARCHAR": "STRING", "VARBINARY": "BINARY", "DATETIME": "TIMESTAMP"}
    known = {synonyms.get(kind.name, kind.name) for kind in _TYPES if not kind.name.startswith("U")}
    assert listed == known


def test_the_example_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {})
