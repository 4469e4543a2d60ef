"""Whether everything that a version names is there, and fits together (dataset.md 3.5, 4, 5)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import FormatError, LanceletError
from lancelet.fields.blob import check_sidecars
from lancelet.schema.blobs import is_blob
from lancelet.table.formats.names import DATA, INDICES
from lancelet.table.formats.rowids import doubled_ids
from lancelet.table.formats.sidecars import SidecarFiles
from lancelet.table.inputs.arguments import check_progress
from lancelet.table.reads.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lancelet.schema.fields import Field
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.table.reads.snapshot import Snapshot

__all__ = ["find_problems"]


def find_problems(
    snapshot: Snapshot,
    manifest: Manifest,
    *,
    read_data: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[LanceletError]:
    """Yield what is wrong with a version; the search goes on after each.

    Parameters
    ----------
    snapshot, manifest
        The version.
    read_data
        Decode all rows too, not only metadata, and look for the sidecar files of blobs.
    progress
        Called with the fragments that are done, and all of them.
    """
    check_progress(progress)
    try:
        fragments = snapshot.fragments
        _ = snapshot.schema
        indices = manifest.indices
    except LanceletError as error:
        yield error
        return
    if progress is not None:
        progress(0, len(fragments))
    sound = []
    for number in range(len(fragments)):
        problems = list(_problems_of_fragment(snapshot, number, read_data))
        yield from problems
        if not any(isinstance(problem, FormatError) for problem in problems):
            sound.append(number)
        if progress is not None:
            progress(number + 1, len(fragments))
    yield from _shared_files(snapshot)
    if snapshot.has_stable_row_ids:
        yield from _problems_of_row_ids(snapshot, manifest, sound)
    for index in indices:
        path = f"{INDICES}/{_hyphenated(index.uuid.uuid)}"
        if not index.HasField("base_id") and index.fields and not snapshot.store.list(path):
            yield FormatError(f"index {index.name!r} has no files", path=f"{snapshot.store.name}/{path}")


def _shared_files(snapshot: Snapshot) -> Iterator[FormatError]:
    """Find data files that several fragments name: their rows are there twice."""
    owners: dict[tuple[int | None, str], int] = {}
    for fragment in snapshot.fragments:
        for file in fragment.files:
            owner = owners.setdefault((file.base_id, file.path), fragment.id)
            if owner != fragment.id:
                yield FormatError(
                    f"fragments {owner} and {fragment.id} have the same file",
                    path=f"{snapshot.store.name}/{DATA}/{file.path}",
                )


def _problems_of_fragment(snapshot: Snapshot, number: int, read_data: bool) -> Iterator[LanceletError]:
    fragment = snapshot.fragments[number]
    reader = snapshot.reader(number)
    for file in fragment.files:
        try:
            opened = snapshot.open(file)
            rows = opened.container.num_rows
            if fragment.physical_rows is not None and rows != fragment.physical_rows:
                raise FormatError(
                    f"the file has {rows} rows, and fragment {fragment.id} has {fragment.physical_rows}",
                    path=opened.container.source.name,
                )
            for column in sorted(set(file.columns_of.values())):
                opened.container.column(column)
        except LanceletError as error:
            yield error
    try:
        _ = reader.deletions
        if snapshot.has_stable_row_ids:
            _ = reader.row_ids
        if read_data:
            stored = snapshot.stored_schema.fields
            for batch in Scanner(snapshot.part([fragment])).to_batches():
                for field, array in zip(stored, batch.columns, strict=True):
                    _check_bodies(snapshot, fragment, field, array)
    except LanceletError as error:
        yield error


def _check_bodies(snapshot: Snapshot, fragment: FragmentMetadata, field: Field, array: pa.Array) -> None:
    """Check that the sidecar files that descriptors of blobs name are there, and long enough."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if is_blob(field) and field.logical_type == "struct":
        files = [file for file in fragment.files if field.id in file.fields]
        if files:
            store = snapshot.store_of(files[0].base_id)
            check_sidecars(array, SidecarFiles(store, files[0].path.removesuffix(".lance")).size)
    elif field.logical_type == "struct":
        for child, below in zip(field.children, array.flatten(), strict=True):
            _check_bodies(snapshot, fragment, child, below)


def _problems_of_row_ids(
    snapshot: Snapshot, manifest: Manifest, fragments: Iterable[int]
) -> Iterator[LanceletError]:
    """Check that no two rows of some fragments have one id, and that none has an id that is still to be given out."""
    parts = []
    for number in fragments:
        reader = snapshot.reader(number)
        with suppress(LanceletError):  # it was told with the fragment
            parts.append(reader.row_ids.without(reader.deletions))
    num_doubled, first, highest = doubled_ids(parts)
    if num_doubled:
        yield FormatError(f"{num_doubled} row ids belong to more than one row; the first is {first}")
    if highest >= manifest.next_row_id:
        yield FormatError(
            f"a row has the id {highest}, and the next id to be given out is {manifest.next_row_id}"
        )


def _hyphenated(uuid: bytes) -> str:
    text = uuid.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
