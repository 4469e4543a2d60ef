"""One fragment of a dataset, as users see it; names and parameters are those of pylance's ``LanceFragment``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.table.reads.projection import Projection
from lancelet.table.reads.scanner import Scanner
from lancelet.table.reads.take import take_positions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from lancelet.table.formats.metadata import DataFile, FragmentMetadata
    from lancelet.table.reads.snapshot import Snapshot

__all__ = ["Fragment"]


class Fragment:
    """Rows of a dataset that were written together. May be shared by threads and pickled.

    Parameters
    ----------
    snapshot
        The version of the dataset.
    fragment_id
        Number of the fragment.

    Raises
    ------
    OptionError
        There is no such fragment.
    """

    def __init__(self, snapshot: Snapshot, fragment_id: int) -> None:
        self._metadata = snapshot.fragments[snapshot.place_of(fragment_id)]
        self._snapshot = snapshot.part([self._metadata])

    @property
    def fragment_id(self) -> int:
        """Number of the fragment."""
        return self._metadata.id

    @property
    def metadata(self) -> FragmentMetadata:
        """What the manifest says of it."""
        return self._metadata

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the dataset."""
        return self._snapshot.arrow_schema

    @property
    def physical_rows(self) -> int:
        """Rows in its data files, deleted ones included."""
        return self._snapshot.reader(0).physical_rows

    @property
    def num_deletions(self) -> int:
        """Rows that are deleted."""
        return self.physical_rows - self._snapshot.reader(0).num_rows

    def count_rows(self, filter: Any = None) -> int:
        """Count the rows that are not deleted, or those of them that satisfy a filter."""
        return Scanner(self._snapshot, columns=[], filter=filter).count_rows()

    def data_files(self) -> list[DataFile]:
        """Return its data files."""
        return list(self._metadata.files)

    def deletion_file(self) -> str | None:
        """Return the path of its deletion file below the root of the dataset, ``None`` if it has none."""
        deleted = self._metadata.deletion_file
        return None if deleted is None else deleted.path(self._metadata.id)

    def scanner(self, **options: Any) -> Scanner:
        """Return a scanner over the fragment; options are those of :class:`~lancelet.table.reads.scanner.Scanner`."""
        return Scanner(self._snapshot, **options)

    def to_table(
        self,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        filter: Any = None,
        limit: int | None = None,
        offset: int | None = None,
        with_row_id: bool = False,
        with_row_address: bool = False,
        blob_handling: str | None = None,
        **options: Any,
    ) -> pa.Table:
        """Read rows into memory; see :meth:`scanner`."""
        scanner = self.scanner(
            columns=columns,
            filter=filter,
            limit=limit,
            offset=offset,
            with_row_id=with_row_id,
            with_row_address=with_row_address,
            blob_handling=blob_handling,
            **options,
        )
        return scanner.to_table()

    def to_batches(self, **options: Any) -> Iterator[pa.RecordBatch]:
        """Read rows batch by batch; see :meth:`scanner`."""
        return self.scanner(**options).to_batches()

    def take(self, indices: Any, columns: Sequence[str] | Mapping[str, str] | None = None) -> pa.Table:
        """Return single rows, by their positions among those of the fragment that are not deleted.

        Raises
        ------
        OptionError
            A row does not exist.
        """
        return take_positions(self._snapshot, indices, Projection(self._snapshot, columns, flat=False))

    def head(self, num_rows: int) -> pa.Table:
        """Return the first rows."""
        return self.scanner().head(num_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Fragment, (self._snapshot, self._metadata.id))

    def __repr__(self) -> str:
        return f"<lancelet.Fragment {self._metadata.id}: {len(self._metadata.files)} data files>"
