"""The descriptions of secondary indices in a manifest, as commits change them (dataset.md 7.4).

Indices are not built here. Those of others are carried along as long as what they say stays true; a change after which they would
not is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb import table_pb2
from lancelet.table.formats.bitmap import NumberSet, decode_bitmap, encode_bitmap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["IndexSection", "fragments_of", "is_of_system", "knows_stable_ids", "listed_fragments"]

#: Beginning of the names of indices that belong to the system and translate rows, not values.
_SYSTEM = "__lance_"
#: Fragments of an index that are spelt out; more are hardly there, and a few bytes may stand for 2**32.
_MOST_FRAGMENTS = 1 << 20
#: Fragments of an index that is written anew with others; 4 bytes of memory each.
_MOST_CARRIED = 1 << 24
#: Kinds of indices that name rows by stable row ids, where there are some, and their versions. BTrees do so no more from version 1
#: on; zone maps and Bloom filters do in some releases, and do not say so.
_BY_STABLE_ID = {
    "BTreeIndexDetails": {0},
    "BitmapIndexDetails": {0},
    "InvertedIndexDetails": {0, 1, 2},
    "LabelListIndexDetails": {0, 1},
    "NGramIndexDetails": {0},
    "VectorIndexDetails": {0, 1},
}


class IndexSection:
    """Indices of a dataset. As long as nothing changes, the bytes stay those that were read.

    Parameters
    ----------
    data
        Bytes of the section; empty: there are no indices.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> bytes:
        """Return the bytes of the section; empty: there are no indices."""
        return self._data

    def clear(self) -> None:
        """Remove all indices."""
        self._data = b""

    def replace(
        self, removed: Iterable[table_pb2.IndexMetadata], new: Iterable[table_pb2.IndexMetadata]
    ) -> None:
        """Remove indices, which may be gone already, and add others.

        Raises
        ------
        OptionError
            The id of a new one is no uuid, or taken.
        """
        gone = {index.uuid.uuid for index in removed}
        kept = [index for index in self._indices() if index.uuid.uuid not in gone]
        taken = {index.uuid.uuid for index in kept}
        for index in new:
            if len(index.uuid.uuid) != 16 or index.uuid.uuid in taken:
                raise OptionError(f"index {index.name!r}: its id is no uuid, or taken")
            taken.add(index.uuid.uuid)
            kept.append(index)
        self._set(kept)

    def keep_fields(self, fields: set[int]) -> None:
        """Remove the indices of fields that are gone."""
        indices = self._indices()
        kept = [index for index in indices if fields.issuperset(index.fields)]
        if len(kept) < len(indices):
            self._set(kept)

    def check_fields(self, fields: set[int]) -> None:
        """Check that no index is of a field that is gone.

        Raises
        ------
        UnsupportedError
            One is.
        """
        for index in self._indices():
            if not fields.issuperset(index.fields):
                raise UnsupportedError(f"a column that goes has index {index.name!r}; remove the index first")

    def check_unmoved(self, fields: set[int]) -> None:
        """Check that no index is of fields that have new values.

        Raises
        ------
        UnsupportedError
            One is, or there is one of the system.
        """
        for index in self._indices() if fields else ():
            if not fields.isdisjoint(index.fields) or is_of_system(index):
                raise UnsupportedError(f"index {index.name!r} would not be true any more; remove it first")

    def check_untouched(self, fragments: set[int]) -> None:
        """Check that no index knows rows of some fragments.

        Raises
        ------
        UnsupportedError
            One does, or may.
        """
        for index in self._indices() if fragments else ():
            if fragments & (fragments_of(index) or fragments):
                raise UnsupportedError(f"index {index.name!r} has rows that change; remove it first")

    def move_fragments(self, replaced: Sequence[tuple[set[int], set[int]]], *, is_stable: bool) -> None:
        """Let indices know of rows that are in other fragments now.

        Parameters
        ----------
        replaced
            Ids of old fragments, and of those that have their rows now.
        is_stable
            Whether the dataset has row ids that stay. Not all kinds of indices name rows by them.

        Raises
        ------
        UnsupportedError
            An index that names rows by address would have to be written anew, or there is one of the system.
        OptionError
            An index knows some of the fragments that became one, and not the others.
        """
        changed = False
        indices = self._indices()
        for index in indices:
            covered = fragments_of(index)
            if is_of_system(index) or covered is None:
                raise UnsupportedError(
                    f"index {index.name!r}: it is not known which rows it has; remove it first"
                )
            gone: set[int] = set()
            come: set[int] = set()
            for old, new in replaced:
                if covered.isdisjoint(old):
                    continue
                if not (is_stable and knows_stable_ids(index)):
                    raise UnsupportedError(
                        f"index {index.name!r} names rows by place, and they move; remove it first"
                    )
                if not old <= covered:
                    raise OptionError(
                        f"index {index.name!r} has some of the fragments {sorted(old)}, and not all"
                    )
                gone |= old
                come |= new
            if gone:
                kept = np.setdiff1d(decode_bitmap(index.fragment_bitmap, limit=_MOST_CARRIED), [*gone])
                index.fragment_bitmap = encode_bitmap(np.union1d(kept, [*come]))
                changed = True
        if changed:
            self._set(indices)

    def _indices(self) -> list[table_pb2.IndexMetadata]:
        try:
            return list(table_pb2.IndexSection.FromString(self._data).indices)
        except DecodeError as error:
            raise FormatError(f"the descriptions of indices are damaged: {error}") from None

    def _set(self, indices: Sequence[table_pb2.IndexMetadata]) -> None:
        self._data = table_pb2.IndexSection(indices=indices).SerializeToString() if indices else b""


def fragments_of(index: table_pb2.IndexMetadata) -> AbstractSet[int] | None:
    """Return the fragments whose rows an index has; ``None``: it does not say. Some of them may be gone.

    The set is not spelt out: ask it what is in it, and do not go through it.

    Raises
    ------
    FormatError
        The bitmap is damaged.
    """
    return _named(index)


def listed_fragments(
    index: table_pb2.IndexMetadata, max_fragment_id: int | None, there: Collection[int]
) -> set[int]:
    """Return the fragments that an index names, for users to see: of more than a million only those that are there.

    Parameters
    ----------
    index
        The index.
    max_fragment_id
        The highest id that a fragment ever had; ``None``: not known.
    there
        Ids of the fragments of the version.

    Raises
    ------
    FormatError
        The bitmap is damaged, or names fragments that there never were.
    """
    found = _named(index)
    if found is None:
        return set()
    if max_fragment_id is not None and found.highest > max_fragment_id:
        raise FormatError(
            f"index {index.name!r} names fragment {found.highest}, and the highest that there was is {max_fragment_id}"
        )
    return set(found) if len(found) <= _MOST_FRAGMENTS else {number for number in there if number in found}


def is_of_system(index: table_pb2.IndexMetadata) -> bool:
    """Tell whether an index belongs to the system: it says where rows went, not where values are."""
    return index.name.startswith(_SYSTEM)


def knows_stable_ids(index: table_pb2.IndexMetadata) -> bool:
    """Tell whether an index names rows by stable row ids, in datasets that have them: then it stays true when they move."""
    kind = index.index_details.type_url.rpartition("/")[2].rpartition(".")[2]
    return index.index_version in _BY_STABLE_ID.get(kind, ())


def _named(index: table_pb2.IndexMetadata) -> NumberSet | None:
    if not index.fragment_bitmap:
        return None
    try:
        return NumberSet(index.fragment_bitmap)
    except FormatError as error:
        raise FormatError(f"index {index.name!r}: {error.message}") from None
