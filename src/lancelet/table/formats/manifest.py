"""Manifests: everything that one version of a dataset consists of (dataset.md 2).

===========================  ===================================================================================
bytes                        meaning
===========================  ===================================================================================
u32 size, ``IndexSection``   only if there are indices; at ``Manifest.index_section``
u32 size, ``Transaction``    what made this version; at ``Manifest.transaction_section`` (or ``..._moved``)
u32 size, ``Manifest``       at the position that follows
i64                          position of the manifest
u16 0, u16 2, ``LANC``       constant
===========================  ===================================================================================
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb import file_pb2, table_pb2
from lancelet.schema.fields import Schema
from lancelet.table.formats.flags import Flag, check_readable_flags, check_writable_flags
from lancelet.table.formats.fragment_checks import MAX_ROWS, check_files, check_rows, stored_numbers
from lancelet.table.formats.metadata import FragmentMetadata
from lancelet.table.formats.names import VERSIONS, Scheme, is_detached, manifest_path, parse_manifest_name
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from lancelet.storage import Store

__all__ = [
    "Manifest",
    "check_readable",
    "check_writable",
    "encode_manifest",
    "is_same_file",
    "latest_manifest",
    "latest_path",
    "list_versions",
    "manifest_of",
    "parse_manifest",
    "read_manifest",
    "scheme_of",
]

_SIZE = struct.Struct("<I")
_TAIL = struct.Struct("<qHH4s")
_TAIL_VERSION = (0, 2)
_MAGIC = b"LANC"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STORAGE_VERSIONS = {version.text: version for version in Version}
_LEGACY = ("0.1", "legacy")
#: Row addresses keep the id of the fragment in 32 bits, and the position of the row in it in 32 more.
_MAX_FRAGMENT_ID = (1 << 32) - 1
_NAME_START = len(VERSIONS) + 1
#: How often the latest version is looked for, if it vanishes before it can be read.
_ATTEMPTS = 5


class Manifest:
    """One version of a dataset. Nobody changes it; threads may share it; pickled, it travels as its bytes.

    What is large or may be unknown in part, the schema and the fragments, is made and checked when it is first asked for.

    Parameters
    ----------
    message
        The message as stored.
    index_section
        The serialised ``IndexSection``; empty: there is none.
    transaction_bytes
        The serialised ``Transaction`` that stands in the manifest file.
    path
        Path of the file below the root of the dataset.
    scheme
        How manifests of this dataset are named; ``None``: the version is detached.
    """

    def __init__(
        self,
        message: table_pb2.Manifest,
        *,
        index_section: bytes = b"",
        transaction_bytes: bytes | None = None,
        path: str = "",
        scheme: Scheme | None = Scheme.V2,
    ) -> None:
        self.message = message
        self.index_section = index_section
        self.transaction_bytes = transaction_bytes
        self.path = path
        self.scheme = scheme

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.message.version

    @cached_property
    def schema(self) -> Schema:
        """All fields with their ids.

        Raises
        ------
        FormatError, UnsupportedError
            See :meth:`Schema.from_message`.
        """
        stored = file_pb2.Schema(fields=self.message.fields, metadata=self.message.schema_metadata)
        try:
            return Schema.from_message(stored)
        except FormatError as error:
            raise error.locate(path=self.path or None) from None

    @property
    def fragment_messages(self) -> Sequence[table_pb2.DataFragment]:
        """The fragments as stored, unchecked; not to be changed."""
        return self.message.fragments

    @cached_property
    def base_paths(self) -> dict[int, table_pb2.BasePath]:
        """Places of files outside of the dataset, by id."""
        return {base.id: base for base in self.message.base_paths}

    @cached_property
    def num_rows(self) -> int | None:
        """Rows that are not deleted, without making :attr:`fragments`; ``None``: fragments do not say, or not what can be true."""
        stored = list(self.message.fragments)  # each walk over them makes a thousand objects
        counts = [found.physical_rows for found in stored]
        if counts and not 0 < min(counts) <= max(counts) <= MAX_ROWS:
            return None
        shrunk = [found for found in stored if found.HasField("deletion_file")]
        deleted = [found.deletion_file.num_deleted_rows for found in shrunk]
        if not all(0 < gone <= found.physical_rows for gone, found in zip(deleted, shrunk, strict=True)):
            return None
        return sum(counts) - sum(deleted)

    @cached_property
    def fragments(self) -> tuple[FragmentMetadata, ...]:
        """The fragments, ordered by id.

        Raises
        ------
        FormatError
            A fragment is damaged, or contradicts the manifest.
        UnsupportedError
            A fragment has parts that are not handled.
        """
        try:
            return tuple(_fragments(self))
        except FormatError as error:
            raise error.locate(path=self.path or None) from None

    @cached_property
    def timestamp(self) -> datetime:
        """When the version was made, in UTC, to the microsecond.

        Raises
        ------
        FormatError
            No calendar has this time.
        """
        stored = self.message.timestamp
        try:
            return _EPOCH + timedelta(seconds=stored.seconds, microseconds=stored.nanos // 1000)
        except OverflowError:
            raise FormatError(
                f"{stored.seconds} seconds since 1970 are no time of a version", path=self.path or None
            ) from None

    @cached_property
    def config(self) -> dict[str, str]:
        """The table's config."""
        return dict(self.message.config)

    @cached_property
    def table_metadata(self) -> dict[str, str]:
        """What users noted of the table."""
        return dict(self.message.table_metadata)

    @property
    def storage_version(self) -> Version:
        """File version of new data files."""
        return _STORAGE_VERSIONS[self.message.data_format.version]

    @property
    def has_stable_row_ids(self) -> bool:
        """Tell whether rows have ids that they keep when they move."""
        return bool(self.message.reader_feature_flags & Flag.STABLE_ROW_IDS)

    @property
    def next_row_id(self) -> int:
        """The first row id that was never given out; with stable row ids only."""
        return self.message.next_row_id

    @property
    def max_fragment_id(self) -> int | None:
        """The highest fragment id that was ever given out; ``None``: there was no fragment yet."""
        return self.message.max_fragment_id if self.message.HasField("max_fragment_id") else None

    @cached_property
    def indices(self) -> tuple[table_pb2.IndexMetadata, ...]:
        """What secondary indices there are.

        Raises
        ------
        FormatError
            Their descriptions are damaged.
        """
        try:
            return tuple(table_pb2.IndexSection.FromString(self.index_section).indices)
        except DecodeError as error:
            raise FormatError(
                f"the descriptions of indices are damaged: {error}", path=self.path or None
            ) from None

    @property
    def transaction_file(self) -> str:
        """Name of the transaction that made this version, below ``_transactions/``; may be empty."""
        return self.message.transaction_file

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            _unpickle,
            (
                self.message.SerializeToString(),
                self.index_section,
                self.transaction_bytes,
                self.path,
                self.scheme,
            ),
        )

    def __repr__(self) -> str:
        return f"Manifest(version={self.version}, {len(self.message.fragments)} fragments)"


def check_readable(manifest: Manifest) -> None:
    """Check that a version can be read. :func:`read_manifest` has done so.

    Raises
    ------
    UnsupportedError
        A feature flag is unknown, which the message names, or the data files are of an unknown format or version.
    FormatError
        The flags contradict each other.
    """
    message = manifest.message
    check_readable_flags(message.reader_feature_flags, message.writer_feature_flags)
    _check_data_format(message)


def check_writable(manifest: Manifest) -> None:
    """Check that a new version may be based on this one.

    Raises
    ------
    UnsupportedError
        A feature flag is unknown, which the message names; or the dataset is a clone or a branch of another.
    FormatError
        The flags contradict each other.
    """
    message = manifest.message
    check_writable_flags(message.reader_feature_flags, message.writer_feature_flags)
    if message.base_paths:
        raise UnsupportedError(
            f"files of the dataset may lie in {message.base_paths[0].path!r}: it is a shallow clone, a branch, or has "
            "base paths, and can only be read"
        )


def read_manifest(store: Store, path: str) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    store
        The dataset.
    path
        Path of the manifest below its root.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FormatError
        The file is damaged, or named after another version.
    UnsupportedError
        This version cannot be read; see :func:`check_readable`.
    OptionError
        The name is none of manifests.
    """
    with store.open_source(path) as source:
        try:
            return parse_manifest(source.read(0, source.size()), path)
        except FormatError as error:
            raise error.locate(path=source.name) from None
        except UnsupportedError as error:
            raise UnsupportedError(f"{source.name}: {error}") from None


def parse_manifest(data: memoryview | bytes, path: str) -> Manifest:
    """Read a manifest from its bytes; see :func:`read_manifest`."""
    named = parse_manifest_name(path.rpartition("/")[2])
    if named is None:
        raise OptionError(f"{path!r} is no name of a manifest")
    view = memoryview(data)
    if len(view) < _TAIL.size:
        raise FormatError(f"a manifest of {len(view)} bytes is too short")
    position, *tail_version, magic = _TAIL.unpack(view[-_TAIL.size :])
    if magic != _MAGIC:
        raise FormatError(f"a manifest ends with {bytes(magic)!r} in place of {_MAGIC!r}")
    if tuple(tail_version) != _TAIL_VERSION:
        raise UnsupportedError(f"manifests of version {tail_version[0]}.{tail_version[1]} are not known")
    body = view[: -_TAIL.size]
    stored = _section(body, position, "manifest")
    if position + _SIZE.size + len(stored) != len(body):
        raise FormatError(
            f"the manifest at {position} has {len(stored)} bytes, but {len(body) - position - _SIZE.size} follow"
        )
    try:
        message = table_pb2.Manifest.FromString(bytes(stored))
    except DecodeError as error:
        raise FormatError(f"the manifest is damaged: {error}") from None
    scheme, version = named
    if message.version != version:
        raise FormatError(f"the manifest is of version {message.version}, and named after version {version}")
    manifest = Manifest(
        message,
        index_section=_index_section(message, body[:position]),
        transaction_bytes=_transaction(message, body[:position]),
        path=path,
        scheme=None if scheme == "detached" else scheme,
    )
    check_readable(manifest)
    return manifest


def encode_manifest(message: table_pb2.Manifest, index_section: bytes, transaction: bytes) -> bytes:
    """Return the bytes of a manifest file.

    Parameters
    ----------
    message
        The manifest. It is not changed; where its sections stand is set anew in what is returned.
    index_section
        The serialised ``IndexSection``; empty: there are no indices.
    transaction
        The serialised ``Transaction``; empty: the file gets none.
    """
    stored = table_pb2.Manifest()
    stored.CopyFrom(message)
    for name in ("index_section", "transaction_section", "transaction_section_moved"):
        stored.ClearField(name)
    parts: list[bytes] = []
    if index_section:
        stored.index_section = 0
        parts += [_SIZE.pack(len(index_section)), index_section]
    if transaction:
        # Both places are read by everyone but pylance 4, which knows only this one.
        stored.transaction_section = sum(map(len, parts))
        parts += [_SIZE.pack(len(transaction)), transaction]
    position = sum(map(len, parts))
    body = stored.SerializeToString(deterministic=True)
    tail = _TAIL.pack(position, *_TAIL_VERSION, _MAGIC)
    return b"".join([*parts, _SIZE.pack(len(body)), body, tail])


def list_versions(store: Store) -> list[tuple[int, str]]:
    """Return all versions of a dataset, but no detached ones, in one request.

    Returns
    -------
    list[tuple[int, str]]
        Number, and path of the manifest; the numbers ascend.

    Raises
    ------
    FormatError
        Manifests are named by both schemes.
    """
    return sorted((version, path) for version, path, _ in _listed(store))


def scheme_of(store: Store) -> Scheme | None:
    """Return how the manifests of a dataset are named, in one request; ``None``: there are none.

    Raises
    ------
    FormatError
        They are named by both schemes.
    """
    return next((scheme for _, _, scheme in _listed(store)), None)


def latest_manifest(store: Store) -> Manifest | None:
    """Return the newest version; ``None``: there is no dataset.

    Raises
    ------
    FormatError, UnsupportedError
        See :func:`read_manifest`; or manifests are named by both schemes.
    """
    for _ in range(_ATTEMPTS):
        path = latest_path(store)
        if path is None:
            return None
        try:
            return read_manifest(store, path)
        except FileNotFoundError:  # it was cleaned up: there is a newer one
            continue
    raise FormatError("manifests vanish faster than they can be read", path=store.name)


def manifest_of(store: Store, version: int) -> Manifest:
    """Return a version, also a detached one. Nothing is listed.

    Raises
    ------
    FileNotFoundError
        There is no such version.
    FormatError, UnsupportedError
        See :func:`read_manifest`.
    OptionError
        This is no version.
    """
    first = manifest_path(version, Scheme.V2)
    try:
        return read_manifest(store, first)
    except FileNotFoundError:
        if is_detached(version):
            raise
    return read_manifest(store, manifest_path(version, Scheme.V1))


def is_same_file(store: Store, manifest: Manifest) -> bool:
    """Tell whether a manifest that was read some time ago is still the one under its name, and not that of a dataset made anew.

    Raises what :func:`read_manifest` does.
    """
    name = manifest.transaction_file.encode()  # which nobody else chooses
    if not name:
        return read_manifest(store, manifest.path).message == manifest.message
    with store.open_source(manifest.path) as source:
        return name in bytes(source.read(0, source.size()))


def latest_path(store: Store) -> str | None:
    """Return the path of the newest manifest that is not detached."""
    paths = store.list_unordered(VERSIONS)
    # Names of scheme V2 have one length, and the newest comes first: thousands of others need not be parsed.
    length = len(manifest_path(0))
    if set(map(len, paths)) == {length}:
        newest = min(paths)
        named = parse_manifest_name(newest[_NAME_START:])
        if named is not None and named[0] is Scheme.V2:
            return newest
    found = _parsed(store, paths)
    return max(found)[1] if found else None


def _listed(store: Store) -> list[tuple[int, str, Scheme]]:
    """Return (version, path, scheme) of all manifests that are not detached."""
    return _parsed(store, store.list(VERSIONS))


def _parsed(store: Store, paths: Sequence[str]) -> list[tuple[int, str, Scheme]]:
    """Return (version, path, scheme) of those paths that are manifests and not detached."""
    found = []
    schemes: set[Scheme] = set()
    for path in paths:
        named = parse_manifest_name(path[_NAME_START:])
        if named is not None and not isinstance(named[0], str):
            found.append((named[1], path, named[0]))
            schemes.add(named[0])
    if len(schemes) > 1:
        raise FormatError("the manifests are named by both schemes", path=f"{store.name}/{VERSIONS}")
    return found


def _section(view: memoryview, position: int, what: str) -> memoryview:
    """Return the bytes of a section behind its size."""
    start = position + _SIZE.size
    if position < 0 or start > len(view):
        raise FormatError(f"the {what} begins at {position}, outside of its {len(view)} bytes")
    (size,) = _SIZE.unpack(view[position:start])
    if size > len(view) - start:
        raise FormatError(f"the {what} at {position} has {size} bytes, and {len(view) - start} are there")
    return view[start : start + size]


def _index_section(message: table_pb2.Manifest, before: memoryview) -> bytes:
    if not message.HasField("index_section"):
        return b""
    return bytes(_section(before, message.index_section, "index section"))


def _transaction(message: table_pb2.Manifest, before: memoryview) -> bytes | None:
    names: tuple[Literal["transaction_section_moved", "transaction_section"], ...]
    names = ("transaction_section_moved", "transaction_section")
    for name in names:
        if message.HasField(name):
            return bytes(_section(before, getattr(message, name), "transaction"))
    return None


def _check_data_format(message: table_pb2.Manifest) -> None:
    stored = message.data_format
    if not message.HasField("data_format") or stored.version in _LEGACY:
        raise UnsupportedError("unsupported legacy file: the data is stored in the first format, 0.1")
    if stored.file_format != "lance":
        raise UnsupportedError(f"data files of format {stored.file_format!r} are not known")
    if stored.version not in _STORAGE_VERSIONS:
        raise UnsupportedError(f"data files of version {stored.version!r} are not known")


def _fragments(manifest: Manifest) -> list[FragmentMetadata]:
    """Make and check the fragments."""
    message = manifest.message
    mixed = bool(message.reader_feature_flags & Flag.MIXED_FILE_VERSIONS)
    expected = None if mixed else stored_numbers(manifest.storage_version)
    stable = manifest.has_stable_row_ids
    bases = set(manifest.base_paths)
    found = []
    previous = -1
    for stored in message.fragments:
        if stored.overlays:
            raise UnsupportedError(f"fragment {stored.id} has overlays")
        fragment = FragmentMetadata.from_message(stored)
        if not previous < fragment.id <= _MAX_FRAGMENT_ID:
            raise FormatError(f"fragment {fragment.id} follows fragment {previous}")
        previous = fragment.id
        if fragment.physical_rows is not None:
            check_rows(fragment, fragment.physical_rows)
        check_files(fragment, expected, bases)
        if stable and fragment.row_ids is None:
            raise FormatError(f"fragment {fragment.id} has no row ids, and the dataset has stable row ids")
        found.append(fragment)
    return found


def _unpickle(
    message: bytes, index_section: bytes, transaction: bytes | None, path: str, scheme: Scheme | None
) -> Manifest:
    return Manifest(
        table_pb2.Manifest.FromString(message),
        index_section=index_section,
        transaction_bytes=transaction,
        path=path,
        scheme=scheme,
    )
