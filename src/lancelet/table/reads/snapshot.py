"""One version of a dataset, as reads see it: its fields, its fragments, and how many rows each has."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lancelet.errors import OptionError
from lancelet.table.reads.fragment_reader import FragmentReader, Origin
from lancelet.table.reads.parts import ReadFields
from lancelet.table.reads.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from lancelet.buffers import Int64Array
    from lancelet.pb import table_pb2
    from lancelet.schema.blobs import BlobView
    from lancelet.schema.fields import Schema
    from lancelet.storage import Store
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata
    from lancelet.table.reads.session import OpenFile

__all__ = ["ReadableVersion", "Snapshot"]

#: Sets of fields that are remembered; queries of one kind need two.
_MOST_FIELDS = 64


class ReadableVersion(Protocol):
    """What reads need of a manifest."""

    @property
    def schema(self) -> Schema:
        """Fields of the dataset, as they were declared."""

    @property
    def fragments(self) -> tuple[FragmentMetadata, ...]:
        """Fragments, by id."""

    @property
    def has_stable_row_ids(self) -> bool:
        """Whether rows keep their ids when they are moved."""

    @property
    def num_rows(self) -> int | None:
        """Rows that are not deleted, if that is known without a look at every fragment."""

    @property
    def base_paths(self) -> Mapping[int, table_pb2.BasePath]:
        """Places of files outside of the dataset, by id."""


class Snapshot:
    """A version of a dataset to read. Threads share it; pickled, it arrives with an empty session.

    Parameters
    ----------
    store
        The dataset.
    manifest
        The version.
    session
        Keeps files open; by default one of its own.
    fragments
        The fragments to read; by default all.
    """

    def __init__(
        self,
        store: Store,
        manifest: ReadableVersion,
        session: Session | None = None,
        fragments: Sequence[FragmentMetadata] | None = None,
    ) -> None:
        self.store = store
        self.manifest = manifest
        self.session = Session() if session is None else session
        self._origin = Origin(store, manifest, self.session)
        self._fragments = None if fragments is None else tuple(fragments)
        self._readers: dict[int, FragmentReader] = {}
        self._fields: dict[tuple[tuple[int, ...], BlobView], ReadFields] = {}

    @property
    def schema(self) -> Schema:
        """Fields of the dataset, as they were declared."""
        return self.manifest.schema

    @property
    def stored_schema(self) -> Schema:
        """Fields of the dataset as data files store them; see :attr:`Origin.stored_schema`."""
        return self._origin.stored_schema

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The same as an Arrow schema."""
        return self.schema.to_arrow()

    @property
    def schema_key(self) -> str:
        """Types of all fields, by id: what open files depend on."""
        return self._origin.schema_key

    @property
    def has_stable_row_ids(self) -> bool:
        """Whether rows keep their ids when they are moved."""
        return self.manifest.has_stable_row_ids

    def store_of(self, base_id: int | None) -> Store:
        """Return where files of a base lie; see :meth:`Origin.store_of`."""
        return self._origin.store_of(base_id)

    def open(self, file: DataFile) -> OpenFile:
        """Open a data file, wherever it lies; see :meth:`Session.open`."""
        return self._origin.open(file)

    @property
    def fragments(self) -> tuple[FragmentMetadata, ...]:
        """The fragments to read, in order."""
        return self.manifest.fragments if self._fragments is None else self._fragments

    def reader(self, place: int) -> FragmentReader:
        """Return what reads the fragment at `place` among :attr:`fragments`."""
        found = self._readers.get(place)
        if found is None:
            made = FragmentReader(self._origin, self.fragments[place])
            found = self._readers.setdefault(place, made)
        return found

    def fields(self, schema: Schema, blobs: BlobView) -> ReadFields:
        """Return what reads the fields of `schema`, a part of :attr:`stored_schema`; reads of the same fields share it."""
        key = (tuple(field.id for field in schema.walk()), blobs)
        found = self._fields.get(key)
        if found is None:
            if len(self._fields) >= _MOST_FIELDS:
                self._fields.clear()
            found = self._fields.setdefault(key, ReadFields(schema, blobs))
        return found

    def part(self, fragments: Sequence[FragmentMetadata]) -> Snapshot:
        """Return a snapshot of some of the fragments, with the same session."""
        found = Snapshot(self.store, self.manifest, self.session, fragments)
        found._fields = self._fields
        return found

    @cached_property
    def starts(self) -> Int64Array:
        """``int64[num_fragments + 1]``: rows that are not deleted before each fragment, and in all.

        Where manifests do not say how many rows there are (the oldest do not), files are read.
        """
        counts = [
            self.reader(place).num_rows if fragment.num_rows is None else fragment.num_rows
            for place, fragment in enumerate(self.fragments)
        ]
        return np.concatenate(([0], np.cumsum(np.array(counts, dtype=np.int64)))).astype(np.int64)

    @property
    def num_rows(self) -> int:
        """Rows that are not deleted."""
        known = self.manifest.num_rows if self._fragments is None else None
        return int(self.starts[-1]) if known is None else known

    @cached_property
    def places(self) -> dict[int, int]:
        """Fragment id -> place among :attr:`fragments`."""
        return {fragment.id: place for place, fragment in enumerate(self.fragments)}

    @cached_property
    def _index(self) -> Any:
        """The row addresses of stable row ids."""
        from lancelet.table.formats.rowids import RowIdIndex  # only datasets with stable row ids need it

        readers = [self.reader(place) for place in range(len(self.fragments))]
        return RowIdIndex({reader.metadata.id: (reader.row_ids, reader.deletions) for reader in readers})

    def addresses_of(self, row_ids: Any) -> Any:
        """Return the row addresses of row ids, ``uint64[num_ids]``.

        Raises
        ------
        OptionError
            There is no row with such an id.
        """
        return self._index.lookup(row_ids) if self.has_stable_row_ids else row_ids

    def place_of(self, fragment_id: int) -> int:
        """Return where the fragment of an id stands.

        Raises
        ------
        OptionError
            There is none.
        """
        place = self.places.get(fragment_id)
        if place is None:
            raise OptionError(f"there is no fragment {fragment_id}; the dataset has {len(self.fragments)}")
        return place

    def __reduce__(self) -> tuple[Any, ...]:
        return (Snapshot, (self.store, self.manifest, None, self._fragments))
