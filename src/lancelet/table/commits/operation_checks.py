"""Whether an operation, and the fragments in it, are what they seem: they come from users, and from other programs."""

from __future__ import annotations

from dataclasses import fields
from numbers import Integral
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError
from lancelet.schema.fields import Schema
from lancelet.schema.text import is_text
from lancelet.table.formats.metadata import DataFile, DeletionFile, ExternalSequence, FragmentMetadata
from lancelet.table.formats.operations import Append, MapUpdate, Operation, RewriteGroup, Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.table.formats.manifest import Manifest

__all__ = ["check_new_fragments", "check_operation"]

#: Highest values of what is stored: a field id, rows of a fragment (a row address has 32 bits for them), and all else.
_MAX_FIELD = (1 << 31) - 1
_MAX_ROWS = 1 << 32
_MAX_U32 = (1 << 32) - 1
_MAX_U64 = (1 << 64) - 1
_MAX_SIZE = (1 << 63) - 1


def check_operation(operation: Any) -> None:
    """Check the types and ranges of all that an operation says. Whether it goes with a dataset is seen later.

    Raises
    ------
    OptionError
        It is no operation, or something in it is of another type, or out of range; the message says what.
    """
    if not isinstance(operation, Operation):
        raise OptionError(f"{operation!r} is no operation that can be committed")
    kind = type(operation).__name__
    for known in fields(operation):
        check = _CHECKS.get(known.name)
        if check is not None:
            check(getattr(operation, known.name), f"{kind}.{known.name}")


def _refuse(value: Any, what: str, wanted: str) -> OptionError:
    return OptionError(f"{what} is {value!r:.100}; it must be {wanted}")


def _number(value: Any, what: str, most: int = _MAX_U64, least: int = 0) -> None:
    if type(value) is int and least <= value <= most:  # nearly always, and thousands of times
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        raise _refuse(value, what, f"a whole number from {least} to {most}")


def _instance(value: Any, what: str, kind: type, wanted: str) -> None:
    if not isinstance(value, kind):
        raise _refuse(value, what, wanted)


def check_new_fragments(operation: Operation, latest: Manifest, *, is_rebased: bool) -> None:
    """Check fragments that somebody has written for the latest version, or for one before (`is_rebased`).

    Raises
    ------
    OptionError
        A data file is in the dataset already: its rows would come twice. Or it lists a field that the dataset does not have.
    """
    added = operation.fragments if isinstance(operation, Append) else ()
    if isinstance(operation, Update):
        added = operation.new_fragments
    files = {file.path: file for fragment in added for file in fragment.files}
    if not files:
        return
    for fragment in latest.fragment_messages:
        for file in fragment.files:
            if file.path in files:
                raise OptionError(
                    f"data file {file.path!r} is in fragment {fragment.id} already: these fragments were committed before"
                )
    if is_rebased:  # fields may have been dropped meanwhile
        return
    known = {field.id for field in latest.schema.walk()}
    for path, new in files.items():
        unknown = [id_ for id_ in new.fields if id_ >= 0 and id_ not in known]
        if unknown:
            raise OptionError(
                f"data file {path!r} lists field {unknown[0]}, and version {latest.version} has no such field; "
                "read_version is the version that fragments are written for"
            )


def _each(value: Any, what: str, wanted: str, check: Callable[[Any, str], None]) -> None:
    if not isinstance(value, (list, tuple)):
        raise _refuse(value, what, f"a list of {wanted}")
    for place, one in enumerate(value):
        check(one, f"{what}[{place}]")


def _numbers(value: Any, what: str) -> None:
    _each(value, what, "whole numbers", _number)


def _fragments(value: Any, what: str) -> None:
    _each(value, what, "FragmentMetadata", _fragment)


def _fragment(value: Any, what: str) -> None:
    _instance(value, what, FragmentMetadata, "a FragmentMetadata")
    _number(value.id, f"{what}.id", _MAX_U32)
    _each(value.files, f"{what}.files", "DataFile", _data_file)
    if value.physical_rows is not None:
        _number(value.physical_rows, f"{what}.physical_rows", _MAX_ROWS)
    if value.deletion_file is not None:
        _deletion_file(value.deletion_file, f"{what}.deletion_file")
    for name in ("row_ids", "last_updated_at", "created_at"):
        _sequence(getattr(value, name), f"{what}.{name}")


def _are_ids(numbers: Any) -> bool:
    """Tell at once whether these are whole numbers in range."""
    if type(numbers) is not tuple or not all(type(one) is int for one in numbers):
        return False
    return not numbers or -_MAX_FIELD <= min(numbers) <= max(numbers) <= _MAX_FIELD


def _data_file(value: Any, what: str) -> None:
    _instance(value, what, DataFile, "a DataFile")
    _instance(value.path, f"{what}.path", str, "text")
    for name in ("fields", "column_indices"):
        numbers = getattr(value, name)
        if _are_ids(numbers):
            continue
        _each(
            numbers,
            f"{what}.{name}",
            "whole numbers",
            lambda one, where: _number(one, where, _MAX_FIELD, -_MAX_FIELD),
        )
    for name in ("file_major_version", "file_minor_version"):
        _number(getattr(value, name), f"{what}.{name}", _MAX_U32)
    if value.file_size_bytes is not None:
        _number(value.file_size_bytes, f"{what}.file_size_bytes", _MAX_SIZE)
    if value.base_id is not None:
        _number(value.base_id, f"{what}.base_id", _MAX_U32)


def _deletion_file(value: Any, what: str) -> None:
    _instance(value, what, DeletionFile, "a DeletionFile")
    if value.file_type not in ("array", "bitmap"):
        raise _refuse(value.file_type, f"{what}.file_type", "'array' or 'bitmap'")
    for name in ("read_version", "id"):
        _number(getattr(value, name), f"{what}.{name}")
    if value.num_deleted_rows is not None:
        _number(value.num_deleted_rows, f"{what}.num_deleted_rows", _MAX_ROWS)
    if value.base_id is not None:
        _number(value.base_id, f"{what}.base_id", _MAX_U32)


def _sequence(value: Any, what: str) -> None:
    if isinstance(value, ExternalSequence):
        _instance(value.path, f"{what}.path", str, "text")
        _number(value.offset, f"{what}.offset")
        _number(value.size, f"{what}.size")
    elif value is not None:
        _instance(value, what, bytes, "bytes, or an ExternalSequence")


def _groups(value: Any, what: str) -> None:
    _each(value, what, "RewriteGroup", _group)


def _group(value: Any, what: str) -> None:
    _instance(value, what, RewriteGroup, "a RewriteGroup")
    _fragments(value.old_fragments, f"{what}.old_fragments")
    _fragments(value.new_fragments, f"{what}.new_fragments")


def _replacements(value: Any, what: str) -> None:
    _each(value, what, "pairs of a fragment's id and a DataFile", _replacement)


def _replacement(value: Any, what: str) -> None:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise _refuse(value, what, "a fragment's id and a DataFile")
    _number(value[0], f"{what}[0]", _MAX_U32)
    _data_file(value[1], f"{what}[1]")


def _schema(value: Any, what: str) -> None:
    _instance(value, what, Schema, "a lancelet.schema.Schema; Schema.from_arrow makes one")


def _text(value: Any, what: str) -> None:
    if not is_text(value):
        raise _refuse(value, what, "text")


def _texts(value: Any, what: str, *, may_be_none: bool = False) -> None:
    try:
        items = list(value.items())
    except (AttributeError, TypeError):
        raise _refuse(value, what, "a mapping of texts") from None
    for key, text in items:
        _text(key, f"a key of {what}")
        if text is not None or not may_be_none:
            _text(text, f"{what}[{key!r}]")


def _map_update(value: Any, what: str) -> None:
    if value is not None:
        _instance(value, what, MapUpdate, "a MapUpdate")
        _texts(value.entries, f"{what}.entries", may_be_none=True)


def _field_metadata(value: Any, what: str) -> None:
    try:
        items = list(value.items())
    except (AttributeError, TypeError):
        raise _refuse(value, what, "a mapping of field ids to MapUpdate") from None
    for field, change in items:
        _number(field, f"a key of {what}", _MAX_FIELD)
        _instance(change, f"{what}[{field}]", MapUpdate, "a MapUpdate")
        _map_update(change, f"{what}[{field}]")


#: Attributes of operations mean the same in all of them; of those that are missing here, protobuf messages check themselves.
_CHECKS: dict[str, Callable[[Any, str], None]] = {
    "fragments": _fragments,
    "updated_fragments": _fragments,
    "new_fragments": _fragments,
    "deleted_fragment_ids": _numbers,
    "removed_fragment_ids": _numbers,
    "fields_modified": _numbers,
    "fields_for_preserving_frag_bitmap": _numbers,
    "predicate": _text,
    "schema": _schema,
    "config_upsert_values": _texts,
    "groups": _groups,
    "version": _number,
    "num_fragments": _number,
    "config": _map_update,
    "table_metadata": _map_update,
    "schema_metadata": _map_update,
    "field_metadata": _field_metadata,
    "replacements": _replacements,
}
