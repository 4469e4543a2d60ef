"""The formats that files are read and written in, by suffix.

=============================  ==========================  =================================================
suffix                         format                      remarks
=============================  ==========================  =================================================
``.lance``                     Lance
``.parquet``, ``.pq``          Parquet                     written with zstd
``.csv``, ``.csv.gz``          comma-separated text        see :mod:`lancelet.interop.delimited`
``.tsv``, ``.tsv.gz``          tab-separated text          the same
``.arrow``, ``.ipc``,          Arrow IPC file              streams are read too
``.feather``
=============================  ==========================  =================================================
"""

from __future__ import annotations

import os
from pathlib import Path

from lancelet.errors import OptionError

__all__ = ["DELIMITERS", "FORMATS", "format_of"]

#: Format by suffix. Text may be compressed: one more suffix ``.gz``.
FORMATS = {
    ".lance": "lance",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
}
#: What stands between the fields of text.
DELIMITERS = {"csv": ",", "tsv": "\t"}


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that the suffix of `path` names.

    Raises
    ------
    OptionError
        The suffix is not known.

    Examples
    --------
    >>> format_of("flights.csv.gz")
    'csv'
    """
    name = os.fspath(path).lower()
    plain = name.removesuffix(".gz")
    found = FORMATS.get(Path(plain).suffix)
    if found is None or (name != plain and found not in DELIMITERS):
        raise OptionError(
            f"{path}: the suffix names no known format; known are {', '.join(FORMATS)}, .csv.gz, .tsv.gz"
        )
    return found
