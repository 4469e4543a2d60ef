"""Options of the verbs that read files of other formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from lancelet.interop.base import ReadOptions

__all__ = ["add_text_options", "read_options"]


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--null`` and ``--type``."""
    parser.add_argument(
        "--null", action="append", metavar="TEXT", help='CSV: text that means null; repeatable (default: "")'
    )
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="NAME=TYPE",
        help="CSV: Arrow type of a column; repeatable",
    )


def read_options(arguments: argparse.Namespace, **more: Any) -> ReadOptions:
    """Return how the arguments want inputs to be read.

    Raises
    ------
    OptionError
        A type is unknown.
    """
    from lancelet.interop.base import ReadOptions

    return ReadOptions(
        columns=arguments.columns,
        null_values=("",) if arguments.null is None else arguments.null,
        column_types=dict(map(_column_type, arguments.type)),
        **more,
    )


def _column_type(text: str) -> tuple[str, Any]:
    import pyarrow as pa

    from lancelet.errors import OptionError

    name, equals, alias = text.rpartition("=")
    if not equals or not name:
        raise OptionError(f"--type is {text!r}; write it as NAME=TYPE, for example id=string")
    try:
        return name, pa.type_for_alias(alias)
    except ValueError:
        raise OptionError(
            f"--type names no Arrow type: {alias!r}; examples: string, int64, float64, timestamp[ms]"
        ) from None
