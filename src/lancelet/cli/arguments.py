"""Arguments that several verbs have, and their parsing."""

from __future__ import annotations

import argparse

__all__ = [
    "add_columns",
    "add_dataset",
    "add_file",
    "add_filter",
    "add_json",
    "add_path",
    "add_version",
    "positive",
    "row_range",
    "rows",
]


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
