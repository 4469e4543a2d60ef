"""Ids of fields over time: never given out twice, and never taken for another field (dataset.md 3.4, last paragraph).

Data files name what they hold by field ids. A file that is prepared while somebody drops a column and adds another could claim the
id of the new one with the values of the old one. Against that stand two things: ids that were ever in use are not given out again,
and files that arrive late are compared with the schema as it is by then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lancelet.errors import CommitConflict, OptionError
from lancelet.table.formats.metadata import TOMBSTONE, FragmentMetadata

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from lancelet.pb import table_pb2
    from lancelet.schema.fields import Field, Schema
    from lancelet.table.formats.manifest import Manifest

__all__ = [
    "MAX_FIELD_ID",
    "check_ids",
    "check_same_fields",
    "check_still_nullable",
    "max_field_id",
    "missing_field",
    "next_field_id",
    "with_current_meaning",
]

#: Key of the config under which the highest id ever in use stands, once no field and no file shows it any more.
MAX_FIELD_ID = "lancelet.max_field_id"

_LARGEST = 2**31 - 1


def next_field_id(manifest: Manifest, *others: Manifest, fragments: Iterable[FragmentMetadata] = ()) -> int:
    """Return the first id that a new field may have.

    Parameters
    ----------
    manifest
        The version that the field is added to.
    others
        Older versions: writers that remember nothing may have dropped fields since.
    fragments
        Fragments that are not committed yet, and may use ids of their own.

    Raises
    ------
    OptionError
        There are no ids left.
    """
    highest = max(max_field_id(found.message) for found in (manifest, *others))
    for fragment in fragments:
        highest = max([highest, *(field for file in fragment.files for field in file.fields)])
    if highest >= _LARGEST:
        raise OptionError("no ids are left for new fields: the highest one is in use")
    return highest + 1


def max_field_id(message: table_pb2.Manifest) -> int:
    """Return the highest field id that a manifest shows or remembers; -1: none."""
    highest = max((field.id for field in message.fields), default=-1)
    for fragment in message.fragments:
        for file in fragment.files:
            highest = max(highest, max(file.fields, default=-1))
    return max(highest, _remembered(message))


def _remembered(message: table_pb2.Manifest) -> int:
    """Return the id in the config; what is no id there is taken for none, so that it can be put right by writing."""
    text = message.config.get(MAX_FIELD_ID, "")
    is_number = text.isascii() and text.isdigit() and len(text) <= 10
    return int(text) if is_number and int(text) <= _LARGEST else -1


def check_ids(schema: Schema) -> None:
    """Check that every field of a schema has an id of its own.

    Raises
    ------
    OptionError
        An id is negative, too large, or taken.
    """
    seen: set[int] = set()
    for field in schema.walk():
        if not 0 <= field.id <= _LARGEST or field.id in seen:
            raise OptionError(f"field {field.name!r}: its id {field.id} is no id, or taken")
        seen.add(field.id)


def missing_field(schema: Schema, listed: Collection[int]) -> str | None:
    """Return the path of a field that must not be null, though no data file holds it.

    Parameters
    ----------
    schema
        Schema of the dataset.
    listed
        Ids that the data files of a fragment list.
    """
    return next(_missing(schema.fields, frozenset(listed), ""), None)


def _missing(fields: Iterable[Field], listed: frozenset[int], prefix: str) -> Iterator[str]:
    for field in fields:
        is_below = any(child.id in listed for child in field.walk() if child is not field)
        if not is_below and field.id not in listed:
            if not field.nullable:
                yield prefix + field.name
        elif is_below:  # otherwise the field is stored as one column, with all that is in it
            yield from _missing(field.children, listed, f"{prefix}{field.name}.")


def with_current_meaning(
    fragments: tuple[FragmentMetadata, ...], history: Sequence[Schema]
) -> tuple[FragmentMetadata, ...]:
    """Return new fragments as they are to be committed over changes of the schema.

    Ids that meanwhile mean another field are struck out: the fragments read as null there. That only a name changed is no other
    field; that is why all schemas in between are needed.

    Parameters
    ----------
    fragments
        New fragments.
    history
        The schemas from the one that the writer looked at to the latest.

    Raises
    ------
    CommitConflict
        No field of a fragment is left, one that was written has been made anew under its name (a cast does that), or one that must
        not be null is missing by now, or was free to be null. The data must be written anew; it can be.
    """
    latest = history[-1]
    now = {field.id for field in latest.walk()}
    stale = now - _unchanged(history)
    check_still_nullable(history[0], latest)
    _check_not_replaced(fragments, history, now - stale)
    result = tuple(_struck_out(fragment, stale) for fragment in fragments)
    for fragment in result:
        listed = {id_ for file in fragment.files for id_ in file.fields}
        if not listed & now:
            raise CommitConflict("all columns that were written have been dropped meanwhile", retryable=True)
        if path := missing_field(latest, listed):
            raise CommitConflict(
                f"column {path!r} came meanwhile, must not be null, and was not written", retryable=True
            )
    return result


def _check_not_replaced(
    fragments: tuple[FragmentMetadata, ...], history: Sequence[Schema], left: set[int]
) -> None:
    """Check that no written field has a successor of its name: the values would be lost, and nobody would know."""
    written = {id_ for fragment in fragments for file in fragment.files for id_ in file.fields}
    gone = {id_ for id_ in written if id_ >= 0} - left
    if not gone:
        return
    before = {id_: path for path, id_ in _paths(history[0].fields, "")}
    after = dict(_paths(history[-1].fields, ""))
    for path in (before[id_] for id_ in sorted(gone) if id_ in before):
        if path in after:
            raise CommitConflict(
                f"column {path!r} was made anew meanwhile, and what was written is of the old one",
                retryable=True,
            )


def _paths(fields: Iterable[Field], prefix: str) -> Iterator[tuple[str, int]]:
    for field in fields:
        yield prefix + field.name, field.id
        yield from _paths(field.children, f"{prefix}{field.name}.")


def _unchanged(history: Sequence[Schema]) -> set[int]:
    """Return the ids that mean the same field from the first schema to the last."""
    first, *later = ({field.id: (field.parent_id, field.logical_type) for field in s.walk()} for s in history)
    return {id_ for id_, meaning in first.items() if all(step.get(id_) == meaning for step in later)}


def _struck_out(fragment: FragmentMetadata, stale: set[int]) -> FragmentMetadata:
    files = []
    for file in fragment.files:
        if stale.isdisjoint(file.fields):
            files.append(file)
            continue
        fields = tuple(TOMBSTONE if id_ in stale else id_ for id_ in file.fields)
        if any(id_ >= 0 for id_ in fields):
            files.append(replace(file, fields=fields))
    return replace(fragment, files=tuple(files))


def check_same_fields(fields: Collection[int], history: Sequence[Schema]) -> None:
    """Check that fields that are to be changed are still there, and the same.

    Raises
    ------
    CommitConflict
        One is another field now.
    """
    now = {field.id for field in history[-1].walk()}
    if other := (now - _unchanged(history)).intersection(fields):
        raise CommitConflict(f"field {min(other)} is another one now", retryable=True)


def check_still_nullable(before: Schema, after: Schema) -> None:
    """Check that data that was written for one schema may be read by another, as far as nulls go.

    Raises
    ------
    CommitConflict
        A field that could be null may not be any more.
    """
    was_nullable = {field.id for field in before.walk() if field.nullable}
    for field in after.walk():
        if not field.nullable and field.id in was_nullable:
            raise CommitConflict(
                f"column {field.name!r} may not be null any more, and rows that came meanwhile may be",
                retryable=True,
            )
