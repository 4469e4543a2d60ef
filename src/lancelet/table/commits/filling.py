"""What a writer of fragments may leave out, read from its files before they are committed (dataset.md 3.5).

Fragments travel, and files get lost: before a commit names the files of others, it is seen that they are there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lancelet.errors import OptionError
from lancelet.storage import LocalStore, MemoryStore
from lancelet.table.formats.deletions import read_deletions
from lancelet.table.formats.names import DATA
from lancelet.table.formats.operations import (
    Append,
    DataReplacement,
    Delete,
    Merge,
    Overwrite,
    Rewrite,
    Update,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lancelet.storage import Store
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata
    from lancelet.table.formats.operations import Operation

__all__ = ["check_new_files", "complete_operation"]

#: Stores that tell the size of a file at once; of others only the files that do not say their size are asked for.
_NEAR = (LocalStore, MemoryStore)


def complete_operation(store: Store, operation: Operation) -> Operation:
    """Return an operation whose fragments say their rows, the sizes of their files, and how many rows are deleted.

    Raises
    ------
    OptionError
        A file that must be looked at does not exist.
    FormatError
        It is damaged.
    """
    if isinstance(operation, Append | Overwrite | Merge):
        return replace(operation, fragments=_complete(store, operation.fragments))
    if isinstance(operation, Delete):
        return replace(operation, updated_fragments=_complete(store, operation.updated_fragments))
    if isinstance(operation, Update):
        return replace(
            operation,
            updated_fragments=_complete(store, operation.updated_fragments),
            new_fragments=_complete(store, operation.new_fragments),
        )
    if isinstance(operation, Rewrite):
        groups = (
            replace(group, new_fragments=_complete(store, group.new_fragments)) for group in operation.groups
        )
        return replace(operation, groups=tuple(groups))
    return operation


def check_new_files(store: Store, operation: Operation) -> None:
    """Check that the data files that an operation brings are there, and as large as it says. None is opened.

    Raises
    ------
    OptionError
        One is not.
    """
    if not isinstance(store, _NEAR):
        return
    for file in _new_files(operation):
        if file.base_id is None:
            size = _size_of(store, file)
            if file.file_size_bytes is not None and file.file_size_bytes != size:
                raise OptionError(
                    f"data file {file.path!r} has {size} bytes, and its fragment says {file.file_size_bytes}"
                )


def _new_files(operation: Operation) -> Iterator[DataFile]:
    if isinstance(operation, DataReplacement):
        yield from (file for _, file in operation.replacements)
        return
    fragments: tuple[FragmentMetadata, ...] = ()
    if isinstance(operation, Append | Overwrite):
        fragments = operation.fragments
    elif isinstance(operation, Update):
        fragments = operation.new_fragments
    elif isinstance(operation, Rewrite):
        fragments = tuple(fragment for group in operation.groups for fragment in group.new_fragments)
    for fragment in fragments:
        yield from fragment.files


def _complete(store: Store, fragments: tuple[FragmentMetadata, ...]) -> tuple[FragmentMetadata, ...]:
    return tuple(_complete_one(store, fragment) for fragment in fragments)


def _complete_one(store: Store, fragment: FragmentMetadata) -> FragmentMetadata:
    if any(file.file_size_bytes is None and file.base_id is None for file in fragment.files):
        fragment = replace(fragment, files=tuple(_with_size(store, file) for file in fragment.files))
    if fragment.physical_rows is None and fragment.files and fragment.files[0].base_id is None:
        fragment = replace(fragment, physical_rows=_count_rows(store, fragment.files[0]))
    deletion = fragment.deletion_file
    if deletion is not None and deletion.num_deleted_rows is None:
        deletion = replace(deletion, num_deleted_rows=len(read_deletions(store, fragment)))
        fragment = replace(fragment, deletion_file=deletion)
    return fragment


def _with_size(store: Store, file: DataFile) -> DataFile:
    if file.file_size_bytes is not None or file.base_id is not None:
        return file
    return replace(file, file_size_bytes=_size_of(store, file))


def _size_of(store: Store, file: DataFile) -> int:
    try:
        return store.size(f"{DATA}/{file.path}")
    except FileNotFoundError:
        raise OptionError(f"there is no data file {file.path!r} to commit") from None


def _count_rows(store: Store, file: DataFile) -> int:
    from lancelet.file.reader import FileReader  # few commits need it

    try:
        with store.open_source(f"{DATA}/{file.path}") as source, FileReader(source) as reader:
            return reader.num_rows
    except FileNotFoundError:
        raise OptionError(f"there is no data file {file.path!r} to commit") from None
