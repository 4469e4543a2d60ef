"""What a fragment of a manifest must be, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.storage.store import check_path
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from lancelet.table.formats.metadata import FragmentMetadata

__all__ = ["MAX_ROWS", "check_files", "check_rows", "stored_numbers"]

#: Row addresses keep the position of a row in its fragment in 32 bits.
MAX_ROWS = 1 << 32
#: Names of data files that are so long, in characters, are looked at twice.
_NAME = 60


def check_rows(fragment: FragmentMetadata, num_rows: int) -> None:
    """Check that all rows have an address, and that not more are deleted than there are.

    Raises
    ------
    FormatError
        It is not so.
    """
    if num_rows > MAX_ROWS:
        raise FormatError(f"fragment {fragment.id} has {num_rows} rows, more than addresses")
    deletion = fragment.deletion_file
    if deletion is not None and (deletion.num_deleted_rows or 0) > num_rows:
        raise FormatError(
            f"fragment {fragment.id} has {num_rows} rows, and {deletion.num_deleted_rows} of them are deleted"
        )


def stored_numbers(version: Version) -> tuple[int, int]:
    """Return the numbers that descriptions of data files have; for 2.0 these are not those of the footer."""
    return (2, int(version) - int(Version.V2_0))


def check_files(
    fragment: FragmentMetadata, expected: tuple[int, int] | None, bases: AbstractSet[int]
) -> None:
    """Check versions and places of the files of a fragment.

    Parameters
    ----------
    fragment
        The fragment.
    expected
        The version of all data files, as their descriptions say it; ``None``: they may be of several.
    bases
        Ids of the places outside of the dataset.

    Raises
    ------
    FormatError
        A file is of another version, or lies at no place that there is.
    UnsupportedError
        A file is of the first format.
    """
    for file in fragment.files:
        if file.path in ("", ".", "..") or "/" in file.path or "\0" in file.path or len(file.path) > _NAME:
            _check_name(file.path, fragment.id)
        numbers = (file.file_major_version, file.file_minor_version)
        if numbers[0] == 0:
            raise UnsupportedError(f"unsupported legacy file {file.path!r} of fragment {fragment.id}")
        if expected is not None and numbers != expected:
            raise FormatError(
                f"data file {file.path!r} of fragment {fragment.id} is of version {numbers[0]}.{numbers[1]} "
                f"in a dataset of version {expected[0]}.{expected[1]}"
            )
        if file.base_id is not None and file.base_id not in bases:
            raise FormatError(f"data file {file.path!r} lies in base path {file.base_id}, which there is not")
    deletion = fragment.deletion_file
    if deletion is not None and deletion.base_id is not None and deletion.base_id not in bases:
        raise FormatError(
            f"the deletion file of fragment {fragment.id} lies in base path {deletion.base_id}, which there is not"
        )


def _check_name(path: str, fragment_id: int) -> None:
    """Check that a data file lies below its folder; mostly the path is a name alone."""
    try:
        check_path(path)
    except OptionError:
        raise FormatError(
            f"data file {path!r} of fragment {fragment_id} is no file below the dataset's folder of data"
        ) from None
