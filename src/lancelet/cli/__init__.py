"""The command line: ``lancelet VERB ...``.

Exit codes: 0 ok, 1 a problem found in the data (:class:`FormatError`, :class:`UnsupportedError`), 2 wrong use (bad arguments, a
missing file). An error is one line on the error stream; a verb that goes on after problems returns the exit code. Nothing heavy is
imported before the arguments are parsed.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from lancelet.cli import (
    cat,
    cleanup,
    compact,
    convert,
    head,
    info,
    pages,
    plan,
    schema,
    validate,
    versions,
    write,
)
from lancelet.errors import LanceletError, OptionError
from lancelet.release import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_VERBS = (info, schema, pages, plan, head, cat, convert, write, versions, validate, compact, cleanup)

_DESCRIPTION = "Look into Lance files and datasets, write and convert them."
_EPILOG = """\
examples:
  lancelet info flights.lance                what it is: version, rows, sizes
  lancelet pages flights.lance               how each page is encoded
  lancelet plan flights.lance --rows 5,100   which bytes a read fetches
  lancelet head flights.lance -n 5           the first rows
  lancelet convert flights.csv flights.lance
  lancelet write january.parquet february.parquet flights
                                             a dataset: a folder with versions
  lancelet head flights --filter "dep_delay > 60"

exit codes: 0 ok, 1 a problem found in the data, 2 wrong use
"lancelet VERB --help" tells more of a verb."""


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments in one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"lancelet: error: {message} (see: {self.prog} --help)\n")


class _ShowVersion(argparse.Action):
    """Shows the version, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object) -> None:
        print(f"lancelet {VERSION}")
        parser.exit()


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lancelet",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_ShowVersion, nargs=0, help="show the version of lancelet and exit"
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    for module in _VERBS:
        verb = verbs.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code. Wrong arguments and ``--help`` leave by ``SystemExit`` instead, as usual with argparse.
    """
    arguments = _build_parser().parse_args(argv)
    if sys.stdout is None:  # closed by whoever started us
        return _fail("there is no standard output", 2)
    try:
        code = arguments.run(arguments) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except OptionError as error:
        return _fail(str(error), 2)
    except LanceletError as error:
        return _fail(str(error), 1)
    except OSError as error:
        reason = error.strerror or str(error)
        return _fail(f"{error.filename}: {reason}" if error.filename else reason, 2)
    return int(code)


def _fail(message: str, code: int) -> int:
    from lancelet.cli.output import printable

    if sys.stderr is not None:
        sys.stderr.write(f"lancelet: error: {printable(message)}\n")
    return code


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere: whoever read our output has left."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
    except (OSError, ValueError):
        return
