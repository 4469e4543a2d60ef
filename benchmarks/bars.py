"""What lancelet must reach (bar) and would like to reach (aim): ratios to pylance, both writing and reading file version 2.2."""

from __future__ import annotations

from dataclasses import dataclass

ENGINE = "lancelet"
JUDGE = "pylance"


@dataclass(frozen=True, slots=True)
class Bar:
    """Two ratios to pylance; smaller is better."""

    bar: float
    aim: float

    def verdict(self, ratio: float) -> str:
        """Return ``"aim"``, ``"bar"`` or ``"MISSED"``: the best that a ratio reaches."""
        if ratio <= self.aim:
            return "aim"
        return "bar" if ratio <= self.bar else "MISSED"


COLUMNS = ("taxi", "text", "emb", "nested", "images", "wide")

_TAKE_SMALL = "1.0/0.5  1.2/0.7  1.2/0.7  1.0/0.5  1.2/0.7  0.6/0.3"
_ROWS = {
    "write": "1.0/0.6  1.0/0.55  0.7/0.4  1.2/0.7  0.7/0.5  2.0/1.0",
    "scan": "0.8/0.4  0.7/0.35  0.4/0.1  1.0/0.5  0.5/0.25  1.5/1.0",
    "table": "0.8/0.4  0.8/0.4  0.5/0.3  1.0/0.5  0.7/0.4  1.5/1.0",
    "table_first": "0.8/0.4  0.8/0.4  0.5/0.3  1.0/0.5  0.7/0.4  1.5/1.0",
    "scan_private": "0.3/0.1  0.3/0.15  0.3/0.1  1.0/0.5  0.3/0.1  1.0/1.0",
    "project": "0.8/0.4  0.8/0.5  0.8/0.5  0.8/0.5  0.8/0.5  0.8/0.5",
    "open": "1.0/0.5  1.0/0.5  1.0/0.5  1.0/0.5  1.0/0.5  2.0/1.0",
    "metadata": "0.3/0.1  0.3/0.1  0.3/0.1  0.3/0.1  0.3/0.1  0.3/0.1",
    "take1": _TAKE_SMALL,
    "take10": _TAKE_SMALL,
    "take100": "0.8/0.4  0.8/0.4  0.8/0.4  0.8/0.4  0.8/0.4  0.8/0.4",
    "take10000": "0.4/0.15  0.5/0.2  0.5/0.2  0.5/0.2  -  -",
    "cold": "1.2/0.7  1.2/0.7  1.2/0.7  1.2/0.7  1.2/0.7  1.0/0.5",
}

NOT_WORSE = Bar(1.0, 1.0)
_NOT_WORSE_AT = (
    "pylance_scan",
    "pylance_table",
    "pylance_take1",
    "pylance_take10",
    "pylance_take100",
    "pylance_take10000",
    "write_private",
    "write_resident",
    "table_private",
    "table_resident",
)


def _read(cell: str) -> Bar | None:
    if cell == "-":
        return None
    bar, aim = cell.split("/")
    return Bar(float(bar), float(aim))


BARS: dict[tuple[str, str], Bar] = {
    (operation, workload): bar
    for operation, row in _ROWS.items()
    for workload, cell in zip(COLUMNS, row.split(), strict=True)
    if (bar := _read(cell)) is not None
} | {(operation, workload): NOT_WORSE for operation in _NOT_WORSE_AT for workload in COLUMNS}
"""Operation and workload -> what is asked."""

IMPORT_TIME = Bar(1.0, 0.85)
INSTALLED_BYTES = 5_000_000
