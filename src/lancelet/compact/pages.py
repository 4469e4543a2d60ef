"""Pages of columns, counted before and after: what tells whether a compaction was worth it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lancelet.schema.fields import Field
    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.table.reads.snapshot import Snapshot

__all__ = ["ColumnPages", "both_counts", "count_pages", "field_paths", "joined_counts"]


@dataclass(frozen=True, slots=True)
class ColumnPages:
    """Pages of one column.

    Attributes
    ----------
    path
        The field that owns the column: ``"a"``, ``"s.a"``, ``"l.item"``.
    before, after
        Pages of all files that are replaced, and of those that replace them.

    Raises
    ------
    OptionError
        A value is none that it may have.
    """

    path: str
    before: int
    after: int

    def __post_init__(self) -> None:
        for value in (self.before, self.after):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise OptionError(f"{value!r} pages of a column: it must be a whole number")
        if not isinstance(self.path, str):
            raise OptionError(f"the path of a column is {self.path!r}; it must be text")


def count_pages(snapshot: Snapshot, fragments: Iterable[FragmentMetadata]) -> dict[str, int]:
    """Return the pages of each column of the schema in the data files of `fragments`; columns that no file has are not listed.

    Raises
    ------
    FormatError
        A file is missing or damaged.
    UnsupportedError
        A file lies outside of the dataset.
    """
    paths = field_paths(snapshot.stored_schema.fields)
    found: Counter[str] = Counter()
    for fragment in fragments:
        for file in fragment.files:
            wanted = [(id_, column) for id_, column in file.columns_of.items() if id_ in paths]
            if not wanted:
                continue
            container = snapshot.session.open(snapshot.store, file, snapshot.schema_key).container
            container.prepare(len(wanted))
            for id_, column in wanted:
                found[paths[id_]] += container.totals(column).num_pages
    return dict(found)


def both_counts(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[ColumnPages, ...]:
    """Return the counts of all columns, in the order in which they are first named."""
    names = [*before, *(name for name in after if name not in before)]
    return tuple(ColumnPages(name, before.get(name, 0), after.get(name, 0)) for name in names)


def joined_counts(parts: Iterable[Iterable[ColumnPages]]) -> tuple[ColumnPages, ...]:
    """Return the counts of several tasks together."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for part in parts:
        for pages in part:
            before[pages.path] += pages.before
            after[pages.path] += pages.after
    return both_counts(before, after)


def field_paths(fields: Iterable[Field], prefix: str = "") -> dict[int, str]:
    """Return the path of each field and its children by id, with `prefix` before it: ``{0: "a", 1: "s", 2: "s.a"}``."""
    found = {}
    for field in fields:
        path = prefix + field.name
        found[field.id] = path
        found.update(field_paths(field.children, f"{path}."))
    return found
