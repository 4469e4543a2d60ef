"""What a manifest says of a fragment: its data files, its deletion file, and where its row ids are (dataset.md 2.2).

All of it is plain, immutable and picklable: fragments travel from the programs that write data files to the one that commits them.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from lancelet.errors import FormatError, OptionError
from lancelet.pb import table_pb2
from lancelet.versions import Version

if TYPE_CHECKING:
    from typing import Self

__all__ = ["TOMBSTONE", "DataFile", "DeletionFile", "ExternalSequence", "FragmentMetadata", "Sequence64"]

#: Id of a field that a data file holds no longer: another file of the fragment has it now.
TOMBSTONE = -2


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file of a fragment, and which fields of the dataset it holds.

    Attributes
    ----------
    path
        Name of the file below ``data/``.
    fields
        Ids of fields; negative ones stand for nothing that is read.
    column_indices
        For each of them the physical column in the file, or a negative number where the field owns none.
    file_major_version, file_minor_version
        File version: 2 and 0 to 3.
    file_size_bytes
        Size in bytes; ``None``: not known.
    base_id
        Where the file lies, if not in the dataset itself.
    """

    path: str
    fields: tuple[int, ...]
    column_indices: tuple[int, ...]
    file_major_version: int
    file_minor_version: int
    file_size_bytes: int | None = None
    base_id: int | None = None

    @classmethod
    def from_message(cls, message: table_pb2.DataFile) -> Self:
        """Read a stored description.

        Raises
        ------
        FormatError
            There are more or fewer columns than fields.
        """
        fields, columns = tuple(message.fields), tuple(message.column_indices)
        if len(fields) != len(columns) and columns:
            raise FormatError(
                f"data file {message.path!r} has {len(fields)} fields, and {len(columns)} columns for them"
            )
        return cls(
            message.path,
            fields,
            columns,
            message.file_major_version,
            message.file_minor_version,
            message.file_size_bytes or None,
            message.base_id if message.HasField("base_id") else None,
        )

    def to_message(self) -> table_pb2.DataFile:
        """Return the description as stored."""
        return table_pb2.DataFile(
            path=self.path,
            fields=self.fields,
            column_indices=self.column_indices,
            file_major_version=self.file_major_version,
            file_minor_version=self.file_minor_version,
            file_size_bytes=self.file_size_bytes or 0,
            base_id=self.base_id,
        )

    @property
    def columns_of(self) -> dict[int, int]:
        """Field id -> physical column, for the fields that own one."""
        pairs = zip(self.fields, self.column_indices, strict=True)
        return {field: column for field, column in pairs if field >= 0 and column >= 0}

    @property
    def version(self) -> Version:
        """File version.

        Raises
        ------
        FormatError
            It is that of the first format, or unknown.
        """
        return Version.from_footer(self.file_major_version, self.file_minor_version)


@dataclass(frozen=True, slots=True)
class DeletionFile:
    """Which rows of a fragment are deleted (dataset.md 4).

    Attributes
    ----------
    file_type
        ``"array"`` (Arrow file of row offsets) or ``"bitmap"`` (Roaring bitmap).
    read_version
        Version of the dataset that the deletion began from; part of the file's name.
    id
        Random number; part of the file's name.
    num_deleted_rows
        How many rows it lists; ``None``: not known, it must be read.
    base_id
        Where the file lies, if not in the dataset itself.
    """

    file_type: Literal["array", "bitmap"]
    read_version: int
    id: int
    num_deleted_rows: int | None
    base_id: int | None = None

    @classmethod
    def from_message(cls, message: table_pb2.DeletionFile) -> Self:
        """Read a stored description.

        Raises
        ------
        FormatError
            Its type is unknown.
        """
        if message.file_type not in (0, 1):
            raise FormatError(f"deletion files of type {message.file_type} are not known")
        return cls(
            "bitmap" if message.file_type else "array",
            message.read_version,
            message.id,
            message.num_deleted_rows or None,
            message.base_id if message.HasField("base_id") else None,
        )

    def to_message(self) -> table_pb2.DeletionFile:
        """Return the description as stored."""
        types = table_pb2.DeletionFile.DeletionFileType
        return table_pb2.DeletionFile(
            file_type=types.BITMAP if self.file_type == "bitmap" else types.ARROW_ARRAY,
            read_version=self.read_version,
            id=self.id,
            num_deleted_rows=self.num_deleted_rows or 0,
            base_id=self.base_id,
        )

    def path(self, fragment_id: int) -> str:
        """Return the path of the file below the root of the dataset."""
        suffix = "bin" if self.file_type == "bitmap" else "arrow"
        return f"_deletions/{fragment_id}-{self.read_version}-{self.id}.{suffix}"


@dataclass(frozen=True, slots=True)
class ExternalSequence:
    """A sequence that lies in a file of its own.

    Attributes
    ----------
    path
        Path below the root of the dataset.
    offset, size
        Which bytes of it.
    """

    path: str
    offset: int
    size: int


#: A serialised sequence of row ids or of versions: the bytes themselves, or where they are.
Sequence64 = bytes | ExternalSequence


@dataclass(frozen=True, slots=True)
class FragmentMetadata:
    """A fragment: rows of a dataset that are written together.

    Attributes
    ----------
    id
        Number of the fragment; 0 in fragments that are not committed yet.
    files
        Data files; all have the same rows, and no two of them the same field.
    physical_rows
        Rows of the data files, deleted ones included; ``None``: not known.
    deletion_file
        Which of them are deleted; ``None``: none.
    row_ids
        Stable row ids, one for each physical row; only with stable row ids.
    last_updated_at, created_at
        Versions in which each physical row was last changed, and came; only with stable row ids.
    """

    id: int
    files: tuple[DataFile, ...]
    physical_rows: int | None = None
    deletion_file: DeletionFile | None = None
    row_ids: Sequence64 | None = None
    last_updated_at: Sequence64 | None = None
    created_at: Sequence64 | None = None

    @classmethod
    def from_message(cls, message: table_pb2.DataFragment) -> Self:
        """Read a stored fragment.

        Raises
        ------
        FormatError
            A description of its files is damaged, or a field is held twice.
        """
        try:
            files = tuple(map(DataFile.from_message, message.files))
            _check_distinct(files)
            deletion = (
                DeletionFile.from_message(message.deletion_file)
                if message.HasField("deletion_file")
                else None
            )
        except FormatError as error:
            raise FormatError(f"fragment {message.id}: {error.message}") from None
        return cls(
            message.id,
            files,
            message.physical_rows or None,
            deletion,
            _sequence(message, "row_id_sequence"),
            _sequence(message, "last_updated_at_version_sequence"),
            _sequence(message, "created_at_version_sequence"),
        )

    def to_message(self) -> table_pb2.DataFragment:
        """Return the fragment as stored."""
        message = table_pb2.DataFragment(
            id=self.id,
            files=[file.to_message() for file in self.files],
            physical_rows=self.physical_rows or 0,
            deletion_file=self.deletion_file.to_message() if self.deletion_file else None,
        )
        _set_sequence(message, "row_ids", self.row_ids)
        _set_sequence(message, "last_updated_at_versions", self.last_updated_at)
        _set_sequence(message, "created_at_versions", self.created_at)
        return message

    @property
    def num_deletions(self) -> int | None:
        """Deleted rows; ``None``: the deletion file must be read to know."""
        return 0 if self.deletion_file is None else self.deletion_file.num_deleted_rows

    @property
    def num_rows(self) -> int | None:
        """Rows that are not deleted; ``None``: files must be read to know."""
        if self.physical_rows is None or self.num_deletions is None:
            return None
        return self.physical_rows - self.num_deletions

    def to_json(self) -> str:
        """Return the fragment as JSON text, for :meth:`from_json`."""
        return json.dumps(asdict(self), default=_encode_bytes)

    @classmethod
    def from_json(cls, json_data: str) -> Self:
        """Make a fragment of what :meth:`to_json` returned.

        Raises
        ------
        OptionError
            The text is something else.
        """
        try:
            found = json.loads(json_data)
            files = tuple(
                DataFile(
                    **{
                        **file,
                        "fields": tuple(file["fields"]),
                        "column_indices": tuple(file["column_indices"]),
                    }
                )
                for file in found.pop("files")
            )
            deletion = found.pop("deletion_file")
            sequences: dict[str, Any] = {
                key: _decode_sequence(found.pop(key)) for key in ("row_ids", "last_updated_at", "created_at")
            }
            return cls(
                files=files,
                deletion_file=DeletionFile(**deletion) if deletion else None,
                **found,
                **sequences,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise OptionError(f"this is no fragment in JSON: {error}") from None


def _check_distinct(files: tuple[DataFile, ...]) -> None:
    """Check that no field is held twice, by two files or by one."""
    seen: set[int] = set()
    for file in files:
        listed = [field for field in file.fields if field >= 0]
        own = set(listed)
        if len(own) < len(listed):
            raise FormatError(f"data file {file.path!r} lists a field twice")
        if twice := seen & own:
            raise FormatError(f"more than one data file holds field {min(twice)}")
        seen |= own


def _sequence(message: table_pb2.DataFragment, oneof: str) -> Sequence64 | None:
    name = message.WhichOneof(oneof)  # type: ignore[call-overload]
    if name is None:
        return None
    found = getattr(message, name)
    return found if isinstance(found, bytes) else ExternalSequence(found.path, found.offset, found.size)


def _set_sequence(message: table_pb2.DataFragment, name: str, sequence: Sequence64 | None) -> None:
    if isinstance(sequence, bytes):
        setattr(message, f"inline_{name}", sequence)
    elif sequence is not None:
        external = table_pb2.ExternalFile(path=sequence.path, offset=sequence.offset, size=sequence.size)
        getattr(message, f"external_{name}").CopyFrom(external)


def _encode_bytes(value: Any) -> str:
    return base64.b64encode(value).decode()


def _decode_sequence(value: Any) -> Sequence64 | None:
    if value is None or isinstance(value, dict):
        return None if value is None else ExternalSequence(**value)
    return base64.b64decode(value, validate=True)
