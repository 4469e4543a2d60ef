"""Arguments that several verbs have, and their parsing."""

from __future__ import annotations

import argparse
import re

__all__ = [
    "add_columns",
    "add_dataset",
    "add_file",
    "add_filter",
    "add_json",
    "add_path",
    "add_version",
    "num_bytes",
    "positive",
    "row_range",
    "rows",
]

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([kmgt]?)(i?)b?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add ``FILE``."""
    parser.add_argument("file", metavar="FILE", help="a Lance file")


def add_path(parser: argparse.ArgumentParser) -> None:
    """Add ``PATH``, and the options that say which version of a dataset is meant."""
    parser.add_argument("path", metavar="PATH", help="a Lance file, or the folder of a dataset")
    add_version(parser)


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Add ``DATASET``."""
    parser.add_argument("path", metavar="DATASET", help="the folder of a dataset")


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add ``--version`` and ``--tag``."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", metavar="N", type=positive, help="version of a dataset (default: latest)")
    which.add_argument("--tag", metavar="NAME", help="the version of a dataset that a tag names")


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Add ``--filter``."""
    parser.add_argument("--filter", metavar="SQL", help="only rows of a dataset that satisfy an expression")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_columns(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--columns``."""
    parser.add_argument("--columns", metavar="A,B", type=_names, help=f"{what} (default: all)")


def _names(text: str) -> list[str]:
    names = text.split(",")
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name; write names like a,b")
    return names


def positive(text: str) -> int:
    """Parse a number of at least 1."""
    number = _count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def num_bytes(text: str) -> int:
    """Parse a size of at least one byte: a number, and ``kB``, ``MB``, ``GB``, ``TB`` or the same with ``i``, in any case."""
    found = _SIZE.fullmatch(text)
    if found is None or (found[3] and not found[2]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; write a number and a unit, for example 1GB or 64MiB"
        )
    size = int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2].lower()])
    if size == 0:
        raise argparse.ArgumentTypeError("must be at least 1 byte")
    return size


def row_range(text: str) -> tuple[int, int | None]:
    """Parse ``START:STOP``, of which either may be missing."""
    start, colon, stop = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is no range; write START:STOP, for example 0:100")
    return _count(start) if start else 0, _count(stop) if stop else None


def rows(text: str) -> tuple[int, int | None] | list[int]:
    """Parse ``START:STOP``, or numbers of single rows with commas between them."""
    return row_range(text) if ":" in text else [_count(number) for number in text.split(",")]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows")
    return int(text)
