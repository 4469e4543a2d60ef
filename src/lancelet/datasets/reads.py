"""What can be learned of a version of a dataset, and read from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError
from lancelet.table.formats.index_section import listed_fragments
from lancelet.table.formats.manifest import list_versions
from lancelet.table.formats.tags import Tags
from lancelet.table.inputs.accepted import refuse
from lancelet.table.reads.blobs import DEFAULT_BUFFER_BYTES, take_blobs
from lancelet.table.reads.fragment import Fragment
from lancelet.table.reads.projection import Projection
from lancelet.table.reads.scanner import Scanner, blob_view
from lancelet.table.reads.session import Session
from lancelet.table.reads.snapshot import Snapshot
from lancelet.table.reads.take import sample_rows, take_addresses, take_positions, take_row_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from lancelet.pb import table_pb2
    from lancelet.schema.fields import Schema
    from lancelet.storage import Store
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.reads.blobs import BlobFile

    Columns = Sequence[str] | Mapping[str, str] | None

__all__ = ["ReadableDataset"]


class ReadableDataset:
    """A version of a dataset, to be read. Threads share it; pickled, it carries its version.

    Parameters
    ----------
    store
        Where the dataset lies.
    manifest
        The version.
    session
        Files that are kept open; by default one of its own.
    """

    def __init__(self, store: Store, manifest: Manifest, session: Session | None = None) -> None:
        self._store = store
        self._session = Session() if session is None else session
        self._set(manifest)

    def _set(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._snapshot = Snapshot(self._store, manifest, self._session)

    @property
    def store(self) -> Store:
        """Where the dataset lies."""
        return self._store

    @property
    def session(self) -> Session:
        """Files that are kept open."""
        return self._session

    @property
    def uri(self) -> str:
        """The place by name."""
        return self._store.name

    @property
    def manifest(self) -> Manifest:
        """All that the version consists of."""
        return self._manifest

    @property
    def snapshot(self) -> Snapshot:
        """The version, as reads see it."""
        return self._snapshot

    @property
    def version(self) -> int:
        """Number of the version."""
        return self._manifest.version

    @property
    def latest_version(self) -> int:
        """Number of the newest version; looks at the store."""
        versions = list_versions(self._store)
        return versions[-1][0] if versions else self.version

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema."""
        return self._snapshot.arrow_schema

    @property
    def fields(self) -> Schema:
        """Fields with their ids."""
        return self._manifest.schema

    @property
    def data_storage_version(self) -> str:
        """File version of new data files, as ``"2.2"``."""
        return self._manifest.storage_version.text

    @property
    def has_stable_row_ids(self) -> bool:
        """Whether rows keep their ids when they are moved."""
        return self._manifest.has_stable_row_ids

    @property
    def max_field_id(self) -> int:
        """The highest field id in use."""
        return max(field.id for field in self.fields.walk())

    @property
    def schema_metadata(self) -> dict[str, str]:
        """Metadata of the schema."""
        return dict(self.fields.metadata)

    @property
    def metadata(self) -> dict[str, str]:
        """What users noted of the table."""
        return dict(self._manifest.table_metadata)

    def config(self) -> dict[str, str]:
        """Return the settings of the dataset."""
        return dict(self._manifest.config)

    @property
    def tags(self) -> Tags:
        """Names of versions."""
        return Tags(self._store, self.version)

    @property
    def num_rows(self) -> int:
        """Rows that are not deleted."""
        return self._snapshot.num_rows

    def get_fragments(self, filter: None = None) -> list[Fragment]:
        """Return the fragments, by id; a `filter` is not supported, and is there for pylance's sake."""
        refuse({"filter": filter})
        return [Fragment(self._snapshot, fragment.id) for fragment in self._snapshot.fragments]

    def get_fragment(self, fragment_id: int) -> Fragment | None:
        """Return a fragment; ``None``: there is none of this id."""
        return Fragment(self._snapshot, fragment_id) if fragment_id in self._snapshot.places else None

    def list_indices(self) -> list[dict[str, Any]]:
        """Return name, UUID, fields, version and fragments of all secondary indices; they are not used to read."""
        return [_described_index(index, self._manifest) for index in self._manifest.indices]

    def scanner(
        self,
        columns: Columns = None,
        filter: Any = None,
        limit: int | None = None,
        offset: int | None = None,
        nearest: None = None,
        batch_size: int | None = None,
        batch_size_bytes: None = None,
        batch_readahead: int | None = None,
        fragment_readahead: int | None = None,
        scan_in_order: bool | None = None,
        fragments: Iterable[Fragment] | None = None,
        index_segments: None = None,
        full_text_query: None = None,
        **options: Any,
    ) -> Scanner:
        """Return a scanner, over some `fragments` or all; options are those of :class:`~lancelet.table.reads.scanner.Scanner`.

        Raises
        ------
        OptionError
            A column does not exist, an expression is none, or an argument is out of range or unknown.
        UnsupportedError
            `nearest`, `batch_size_bytes`, `index_segments`, `full_text_query` or another such argument is not ``None``.
        """
        snapshot = self._snapshot
        if fragments is not None:
            if not isinstance(fragments, Iterable):
                raise OptionError(f"fragments is {fragments!r}; it must be a list of fragments")
            fragments = list(fragments)
            if not all(isinstance(fragment, Fragment) for fragment in fragments):
                raise OptionError(f"fragments is {fragments!r}; get_fragments() gives fragments")
            snapshot = snapshot.part([fragment.metadata for fragment in fragments])
        return Scanner(
            snapshot,
            columns=columns,
            filter=filter,
            limit=limit,
            offset=offset,
            nearest=nearest,
            batch_size=batch_size,
            batch_size_bytes=batch_size_bytes,
            batch_readahead=batch_readahead,
            fragment_readahead=fragment_readahead,
            scan_in_order=scan_in_order,
            index_segments=index_segments,
            full_text_query=full_text_query,
            **options,
        )

    def to_table(
        self,
        columns: Columns = None,
        filter: Any = None,
        limit: int | None = None,
        offset: int | None = None,
        nearest: None = None,
        batch_size: int | None = None,
        batch_size_bytes: None = None,
        batch_readahead: int | None = None,
        fragment_readahead: int | None = None,
        scan_in_order: bool | None = None,
        **options: Any,
    ) -> pa.Table:
        """Read rows into memory; parameters are those of :meth:`scanner`.

        Examples
        --------
        >>> ds.to_table(columns=["carrier", "dep_delay"], filter="dep_delay > 60", limit=10)  # doctest: +SKIP
        """
        scanner = self.scanner(
            columns,
            filter,
            limit,
            offset,
            nearest,
            batch_size,
            batch_size_bytes,
            batch_readahead,
            fragment_readahead,
            scan_in_order,
            **options,
        )
        return scanner.to_table()

    def to_batches(
        self,
        columns: Columns = None,
        filter: Any = None,
        limit: int | None = None,
        offset: int | None = None,
        nearest: None = None,
        batch_size: int | None = None,
        batch_size_bytes: None = None,
        batch_readahead: int | None = None,
        fragment_readahead: int | None = None,
        scan_in_order: bool | None = None,
        **options: Any,
    ) -> Iterator[pa.RecordBatch]:
        """Read rows batch by batch; parameters are those of :meth:`scanner`."""
        scanner = self.scanner(
            columns,
            filter,
            limit,
            offset,
            nearest,
            batch_size,
            batch_size_bytes,
            batch_readahead,
            fragment_readahead,
            scan_in_order,
            **options,
        )
        return scanner.to_batches()

    def to_reader(self) -> pa.RecordBatchReader:
        """Return a ``pyarrow.RecordBatchReader`` over all rows."""
        return self.scanner().to_reader()

    def count_rows(self, filter: Any = None, **options: Any) -> int:
        """Count the rows, or those that satisfy a filter; further options are those of :meth:`scanner`."""
        if filter is None and not options:
            return self.num_rows
        return self.scanner(**{"columns": [], **options}, filter=filter).count_rows()

    def head(self, num_rows: int, **options: Any) -> pa.Table:
        """Return the first rows; options are those of :meth:`scanner`."""
        return self.scanner(**options).head(num_rows)

    def take(self, indices: Any, columns: Columns = None, *, blob_handling: str | None = None) -> pa.Table:
        """Return single rows by their positions from 0, in the order asked for.

        `blob_handling` is that of :class:`~lancelet.table.reads.scanner.Scanner`.

        Raises
        ------
        OptionError
            A row or a column does not exist.
        """
        return take_positions(self._snapshot, indices, self._taken(columns, blob_handling))

    def take_rows(
        self, row_ids: Any, columns: Columns = None, *, blob_handling: str | None = None
    ) -> pa.Table:
        """Return single rows by their row ids, as ``with_row_id`` shows them, in the order asked for.

        `blob_handling` is that of :class:`~lancelet.table.reads.scanner.Scanner`.

        Raises
        ------
        OptionError
            A row or a column does not exist.
        """
        return take_row_ids(self._snapshot, row_ids, self._taken(columns, blob_handling))

    def take_addresses(
        self, addresses: Any, columns: Columns = None, *, blob_handling: str | None = None
    ) -> pa.Table:
        """Return single rows by their row addresses, as ``with_row_address`` shows them, in the order asked for.

        `blob_handling` is that of :class:`~lancelet.table.reads.scanner.Scanner`.

        Raises
        ------
        OptionError
            A row or a column does not exist.
        """
        return take_addresses(self._snapshot, addresses, self._taken(columns, blob_handling))

    def take_blobs(
        self,
        blob_column: str,
        ids: Any = None,
        addresses: Any = None,
        indices: Any = None,
        *,
        buffer_size: int = DEFAULT_BUFFER_BYTES,
    ) -> list[BlobFile | None]:
        """Return blobs of single rows as binary files, without reading their bodies; ``None`` for null blobs.

        Parameters
        ----------
        blob_column
            A column of blobs, ``"a.b"`` for one in a struct.
        ids, addresses, indices
            The rows: row ids, row addresses, or positions. One of them is given.
        buffer_size
            Bytes that each file reads ahead; 0: none.

        Raises
        ------
        OptionError
            A row or the column does not exist, or the column holds no blobs.

        Examples
        --------
        >>> [video] = ds.take_blobs("video", indices=[7])  # doctest: +SKIP
        >>> video.seek(1000), video.read(16)  # doctest: +SKIP
        """
        rows = {"ids": ids, "addresses": addresses, "indices": indices}
        return take_blobs(self._snapshot, blob_column, **rows, buffer_size=buffer_size)

    def sample(
        self, num_rows: int, columns: Columns = None, randomize_order: bool = True, *, seed: int | None = None
    ) -> pa.Table:
        """Return random rows, each at most once; with a `seed` always the same ones."""
        projection = self._taken(columns)
        return sample_rows(self._snapshot, num_rows, projection, randomize_order=randomize_order, seed=seed)

    def _taken(self, columns: Columns, blob_handling: str | None = None) -> Projection:
        return Projection(self._snapshot, columns, flat=False, blobs=blob_view(blob_handling))

    def __len__(self) -> int:
        return self.num_rows

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.scanner().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self.schema.__arrow_c_schema__()


def _described_index(index: table_pb2.IndexMetadata, manifest: Manifest) -> dict[str, Any]:
    names = {field.id: field.name for field in manifest.schema.walk()}
    there = [fragment.id for fragment in manifest.fragments]
    return {
        "name": index.name,
        "type": index.index_details.type_url.rpartition(".")[2].removesuffix("IndexDetails") or "unknown",
        "uuid": index.uuid.uuid.hex(),
        "fields": [names.get(number, str(number)) for number in index.fields],
        "version": index.dataset_version,
        "fragment_ids": listed_fragments(index, manifest.max_fragment_id, there),
    }
