"""What a compaction will do: which fragments are put together, how, and why so (dataset.md 7.2).

Fragments are looked at in the order of their ids. One with many deleted rows is rewritten even alone, one that is too small only
with neighbours; one that is neither separates what comes before it from what comes after. What stands together is cut into tasks
of about the size that is aimed at. Where only some of the fragments of a task can be copied, these are copied on their own if that
gives files of a sensible size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lancelet.compact.copy import OutputLimits, cut_outputs
from lancelet.compact.eligible import blob_column, examine, manifest_problem
from lancelet.compact.merge_pages import FULL_PAGE_BYTES
from lancelet.compact.options import CompactionOptions
from lancelet.compact.source import WantedColumns, file_bytes, open_data_file
from lancelet.errors import OptionError, UnsupportedError
from lancelet.schema.limits import check_version
from lancelet.table.formats.index_section import fragments_of
from lancelet.table.formats.metadata import FragmentMetadata
from lancelet.table.inputs.places import open_store
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from lancelet.compact.task import RewriteResult
    from lancelet.storage import Store
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.formats.metadata import DataFile
    from lancelet.table.reads.snapshot import Snapshot

__all__ = ["CompactionPlan", "CompactionTask", "plan_compaction"]

#: Part of the target that rows must reach to be copied apart from neighbours that cannot be.
_SENSIBLE_PART = 2
#: Why a task of version 2.0 that could be copied is not.
_SMALL_PAGES_20 = "pages of version 2.0 are not merged one by one, and they are small"
#: Reasons that the text of a plan shows of each task.
_SHOWN_REASONS = 8


@dataclass(frozen=True, slots=True)
class CompactionTask:
    """Fragments that are put together. Tasks are independent of each other.

    Attributes
    ----------
    store
        The dataset.
    read_version
        The version that the fragments are of.
    options
        What the task goes by; what only plans go by, the ids that are excluded, is left out.
    number
        Place of the task in its plan.
    fragments
        The fragments, in the order of their rows.
    mode
        ``"copy"``: bytes are moved; ``"hybrid"``: bytes are moved, or decoded and encoded where pages are small; ``"reencode"``.
    reasons
        Why it is re-encoded, for each fragment that cannot be copied; or what was asked for.
    storage_version
        File version of the result, such as ``"2.1"``.
    num_rows
        Rows that are not deleted.
    num_bytes
        Bytes of the data files.
    num_pages
        Pages of all columns.
    num_outputs
        Fragments that will come of it, as far as that is known before.

    Raises
    ------
    OptionError
        There are no fragments, one is there twice, or one has no data files; or a value is none that it may have.
    """

    store: Store
    read_version: int
    options: CompactionOptions
    number: int
    fragments: tuple[FragmentMetadata, ...]
    mode: Literal["copy", "hybrid", "reencode"]
    reasons: tuple[str, ...]
    storage_version: str
    num_rows: int
    num_bytes: int
    num_pages: int
    num_outputs: int

    def __post_init__(self) -> None:
        if not self.fragments:
            raise OptionError("a task of compaction needs fragments, and there are none")
        for fragment in self.fragments:
            if not fragment.files:
                raise OptionError(f"fragment {fragment.id} has no data files, and so nothing to compact")
        if len({fragment.id for fragment in self.fragments}) < len(self.fragments):
            raise OptionError("a task of compaction has a fragment twice")
        Version.parse(self.storage_version)
        if self.mode not in ("copy", "hybrid", "reencode"):
            raise OptionError(f"a task is done by 'copy', 'hybrid' or 'reencode', not by {self.mode!r}")
        for name in _NUMBERS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise OptionError(f"{name} of a task is {value!r}; it must be a whole number")

    @property
    def version(self) -> Version:
        """File version of the result."""
        return Version.parse(self.storage_version)

    @property
    def limits(self) -> OutputLimits:
        """How the rows are shared out to new files."""
        return limits_of(self.options)

    def execute(self, dataset: Any = None, *, progress: Callable[[int], None] | None = None) -> RewriteResult:
        """Do the task, here and now; see :func:`~lancelet.compact.task.execute_task`.

        Parameters
        ----------
        dataset
            The dataset, where the task came from a machine that has it in another place; by default the store of the task.
        progress
            Called with numbers of rows that are done.
        """
        from lancelet.compact.task import execute_task  # tasks are made without what does them

        return execute_task(
            self if dataset is None else replace(self, store=dataset.store), progress=progress
        )

    def json(self) -> str:
        """Do as :meth:`to_json`, under pylance's name."""
        return self.to_json()

    def to_json(self) -> str:
        """Return the task as JSON text, for :meth:`from_json`; of the store only its name."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        parts: dict[str, Any] = {
            "uri": self.store.name,
            "options": json.loads(self.options.to_json()),
            "fragments": [json.loads(fragment.to_json()) for fragment in self.fragments],
            "reasons": list(self.reasons),
        }
        return json.dumps(plain | parts)

    @classmethod
    def from_json(cls, text: str, store: Store | None = None) -> Self:
        """Make a task of what :meth:`to_json` returned.

        Parameters
        ----------
        text
            The text.
        store
            The dataset; by default the folder that the text names.

        Raises
        ------
        OptionError
            The text is something else.
        """
        try:
            found = json.loads(text)
            return cls(
                store=open_store(found["uri"]) if store is None else store,
                options=CompactionOptions.from_json(json.dumps(found["options"])),
                fragments=tuple(FragmentMetadata.from_json(json.dumps(one)) for one in found["fragments"]),
                reasons=tuple(found["reasons"]),
                **{name: found[name] for name in _PLAIN},
            )
        except (ValueError, TypeError, KeyError) as error:
            raise OptionError(f"this is no task of a compaction in JSON: {error}") from None


_NUMBERS = ("read_version", "number", "num_rows", "num_bytes", "num_pages", "num_outputs")
_PLAIN = (*_NUMBERS, "mode", "storage_version")


@dataclass(frozen=True, slots=True)
class CompactionPlan:
    """Tasks whose results are committed together; as text, a table of them.

    Attributes
    ----------
    store
        The dataset.
    read_version
        The version that was planned from.
    options
        What the plan goes by.
    tasks
        The tasks; none: there is nothing to do, and nothing to commit.
    """

    store: Store
    read_version: int
    options: CompactionOptions
    tasks: tuple[CompactionTask, ...] = ()

    def num_tasks(self) -> int:
        """Return how many tasks there are; a method as in pylance."""
        return len(self.tasks)

    def json(self) -> str:
        """Do as :meth:`to_json`, under pylance's name."""
        return self.to_json()

    def to_json(self) -> str:
        """Return the plan as JSON text, for :meth:`from_json`; of the store only its name."""
        return json.dumps(
            {
                "uri": self.store.name,
                "read_version": self.read_version,
                "options": json.loads(self.options.to_json()),
                "tasks": [json.loads(task.to_json()) for task in self.tasks],
            }
        )

    @classmethod
    def from_json(cls, text: str, store: Store | None = None) -> Self:
        """Make a plan of what :meth:`to_json` returned; see :meth:`CompactionTask.from_json`."""
        try:
            found = json.loads(text)
            store = open_store(found["uri"]) if store is None else store
            return cls(
                store,
                found["read_version"],
                CompactionOptions.from_json(json.dumps(found["options"])),
                tuple(CompactionTask.from_json(json.dumps(task), store) for task in found["tasks"]),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise OptionError(f"this is no plan of a compaction in JSON: {error}") from None

    def __str__(self) -> str:
        if not self.tasks:
            return f"version {self.read_version}: nothing to compact"
        heading = ("task", "fragments", "become", "rows", "bytes", "pages", "mode")
        rows = [
            (
                str(task.number),
                str(len(task.fragments)),
                str(task.num_outputs),
                f"{task.num_rows:,}",
                f"{task.num_bytes:,}",
                f"{task.num_pages:,}",
                task.mode,
            )
            for task in self.tasks
        ]
        widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
        word = "task" if len(self.tasks) == 1 else "tasks"
        lines = [f"version {self.read_version}: {len(self.tasks)} {word}", _line(heading, widths)]
        for task, row in zip(self.tasks, rows, strict=True):
            lines.append(_line(row, widths))
            lines += [f"    {task.mode}: {reason}" for reason in task.reasons[:_SHOWN_REASONS]]
            if len(task.reasons) > _SHOWN_REASONS:
                lines.append(f"    and {len(task.reasons) - _SHOWN_REASONS} reasons more")
        return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    *numbers, last = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([*numbers, last.strip()])


def limits_of(options: CompactionOptions) -> OutputLimits:
    """Return how rows are shared out to new files."""
    return OutputLimits(
        options.target_rows_per_fragment,
        options.target_bytes_per_file,
        options.max_rows_per_file,
        options.max_bytes_per_file,
    )


class _Candidate(NamedTuple):
    """A fragment that may be rewritten: live rows, bytes, and whether it is rewritten even alone."""

    fragment: FragmentMetadata
    num_rows: int
    num_bytes: int
    alone: bool


class _Piece(NamedTuple):
    """Candidates that become a task, and whether they are copied."""

    candidates: list[_Candidate]
    copied: bool

    @property
    def num_rows(self) -> int:
        return sum(found.num_rows for found in self.candidates)

    @property
    def num_bytes(self) -> int:
        return sum(found.num_bytes for found in self.candidates)


class _Sums(NamedTuple):
    """How many fragments, rows and bytes tasks may still take; ``None``: no limit."""

    num_fragments: int | None
    num_rows: int | None
    num_bytes: int | None

    @classmethod
    def of(cls, options: CompactionOptions) -> Self:
        return cls(options.max_source_fragments, options.max_source_rows, options.max_source_bytes)

    def without(self, candidates: Sequence[_Candidate]) -> _Sums:
        """Return what is left behind candidates."""
        taken = (
            len(candidates),
            sum(found.num_rows for found in candidates),
            sum(found.num_bytes for found in candidates),
        )
        return _Sums(*(None if most is None else most - own for most, own in zip(self, taken, strict=True)))

    def num_fitting(self, candidates: Sequence[_Candidate]) -> int:
        """Return how many of the first candidates may be taken together."""
        left = self
        for number, found in enumerate(candidates):
            left = left.without([found])
            if any(most is not None and most < 0 for most in left):
                return number
        return len(candidates)


def plan_compaction(snapshot: Snapshot, manifest: Manifest, options: CompactionOptions) -> CompactionPlan:
    """Decide what is to be put together. Of data files, only what describes them is read.

    Parameters
    ----------
    snapshot, manifest
        The version of the dataset.
    options
        How fragments are chosen.

    Raises
    ------
    OptionError
        A fragment has no data files, or the file version that is wanted cannot hold a type of the schema.
    FormatError
        A file is damaged.
    UnsupportedError
        ``compaction_mode`` is ``"force_binary_copy"``, and a fragment cannot be copied; the message names file and reason. Or
        something is stored in a way that is not known here.
    """
    return _Planner(snapshot, manifest, options).plan()


class _Planner:
    def __init__(self, snapshot: Snapshot, manifest: Manifest, options: CompactionOptions) -> None:
        self._snapshot = snapshot
        self._manifest = manifest
        self._options = options
        self._limits = limits_of(options)
        self._version = options.version or manifest.storage_version
        check_version(snapshot.schema, self._version)
        self._wanted = WantedColumns(snapshot.stored_schema, self._version)
        self._blob = blob_column(snapshot.stored_schema)
        self._coverage = [fragments_of(index) or set() for index in manifest.indices]
        self._excluded = frozenset(options.excluded_fragment_ids)
        #: Fragment id -> why it cannot be copied, and its pages where they are counted.
        self._problems: dict[int, str | None] = {}
        self._pages: dict[int, int] = {}

    def plan(self) -> CompactionPlan:
        chosen = list(self._chosen())
        if self._options.compaction_mode == "force_binary_copy":
            self._check_copied(chosen)
        tasks = [self._task(number, piece) for number, piece in enumerate(chosen)]
        return CompactionPlan(self._snapshot.store, self._manifest.version, self._options, tuple(tasks))

    # ---- which fragments

    def _bins(self) -> Iterator[list[_Candidate]]:
        """Yield candidates that stand together."""
        bin_: list[_Candidate] = []
        covered: list[int] = []
        for place, fragment in enumerate(self._snapshot.fragments):
            found = self._candidate(place, fragment)
            indices = [number for number, own in enumerate(self._coverage) if fragment.id in own]
            if found is None or indices != covered:
                yield from _worth(bin_)
                bin_, covered = [], indices
            if found is not None:
                bin_.append(found)
        yield from _worth(bin_)

    def _candidate(self, place: int, fragment: FragmentMetadata) -> _Candidate | None:
        options = self._options
        if fragment.id in self._excluded:
            return None
        if not fragment.files:
            raise OptionError(f"fragment {fragment.id} has no data files, and so nothing to compact")
        physical, live = fragment.physical_rows, fragment.num_rows
        if physical is None or live is None:
            reader = self._snapshot.reader(place)
            physical, live = reader.physical_rows, reader.num_rows
        num_bytes = sum(file_bytes(self._snapshot.store, file) for file in fragment.files)
        alone = options.materialize_deletions and _exceeds(
            physical - live, physical, options.materialize_deletions_threshold
        )
        if options.version is not None and any(file.version != self._version for file in fragment.files):
            alone = True
        found = _Candidate(fragment, live, num_bytes, alone)
        return found if alone or not self._is_full(physical, num_bytes) else None

    def _is_full(self, num_rows: int, num_bytes: int) -> bool:
        most = self._options.target_bytes_per_file
        return num_rows >= self._options.target_rows_per_fragment or (most is not None and num_bytes >= most)

    def _parts(self, bin_: list[_Candidate]) -> Iterator[list[_Candidate]]:
        """Cut what stands together where there is enough, and enough remains."""
        rows_left, bytes_left = _Piece(bin_, False).num_rows, _Piece(bin_, False).num_bytes
        part: list[_Candidate] = []
        rows = bytes_ = 0
        for found in bin_:
            part.append(found)
            rows, bytes_ = rows + found.num_rows, bytes_ + found.num_bytes
            rows_left, bytes_left = rows_left - found.num_rows, bytes_left - found.num_bytes
            if self._is_full(rows, bytes_) and self._is_full(rows_left, bytes_left):
                yield part
                part, rows, bytes_ = [], 0, 0
        if part:
            yield part

    def _chosen(self) -> Iterator[_Piece]:
        """Yield the pieces that become tasks. What limits for all tasks together leave out is not opened."""
        left = _Sums.of(self._options)
        for part in (part for bin_ in self._bins() for part in self._parts(bin_)):
            num_fitting, place = left.num_fitting(part), 0
            for piece in self._pieces(part, num_fitting + 1):
                if place + len(piece.candidates) > num_fitting:
                    break
                place += len(piece.candidates)
                if self._is_useful(piece):
                    left = left.without(piece.candidates)
                    yield piece
            rest = part[place:]
            if rest and any(self._is_useful(_Piece(rest, copied)) for copied in (True, False)):
                return

    # ---- how

    def _problem(self, found: _Candidate) -> str | None:
        """Return why a fragment cannot be copied. Its file is opened only where nothing else speaks against it."""
        id_ = found.fragment.id
        if id_ not in self._problems:
            problem = self._known_problem(found)
            if problem is None:
                file = found.fragment.files[0]
                problem, self._pages[id_] = examine(self._snapshot.store, file, self._wanted)
            self._problems[id_] = problem
        return self._problems[id_]

    def _num_pages(self, found: _Candidate) -> int:
        """Return the pages of a fragment."""
        id_ = found.fragment.id
        if id_ not in self._pages:
            self._pages[id_] = sum(map(self._count_pages, found.fragment.files))
        return self._pages[id_]

    def _known_problem(self, found: _Candidate) -> str | None:
        options, id_ = self._options, found.fragment.id
        if not options.may_copy:
            return "compaction_mode is 'reencode'"
        if self._blob is not None:
            return f"column {self._blob!r} holds blobs"
        if problem := manifest_problem(found.fragment, self._wanted):
            return problem
        if options.max_rows_per_file is not None and found.num_rows > options.max_rows_per_file:
            return (
                f"fragment {id_} has {found.num_rows} rows, and a file may have {options.max_rows_per_file}"
            )
        if options.max_bytes_per_file is not None and found.num_bytes > options.max_bytes_per_file:
            return f"fragment {id_} has {found.num_bytes} bytes, and a file may have {options.max_bytes_per_file}"
        return None

    def _check_copied(self, pieces: Sequence[_Piece]) -> None:
        """Check that all fragments of tasks are copied."""
        for found in (found for piece in pieces for found in piece.candidates):
            problem = self._problem(found)
            if problem is not None:
                raise UnsupportedError(f"the bytes cannot be copied, which is asked for: {problem}")

    def _count_pages(self, file: DataFile) -> int:
        container = open_data_file(self._snapshot.store, file)
        with container.source:
            container.prepare(container.num_columns)
            return sum(container.totals(column).num_pages for column in range(container.num_columns))

    def _pieces(self, part: list[_Candidate], num_examined: int) -> list[_Piece]:
        """Part what is copied from what is not, where both are large enough; what is not examined counts as what is before it."""
        examined = groupby(part[:num_examined], lambda found: self._problem(found) is None)
        runs = [_Piece(list(run), copied) for copied, run in examined]
        runs[-1].candidates.extend(part[num_examined:])
        if len(runs) == 1:
            return runs
        if self._options.compaction_mode == "force_binary_copy":
            return [_Piece(part, False)]  # an error, if it becomes a task
        pieces = _joined(
            [piece._replace(copied=piece.copied and self._stands_alone(piece)) for piece in runs]
        )
        for number, piece in enumerate(pieces):
            if not piece.copied and len(piece.candidates) == 1 and not piece.candidates[0].alone:
                # Alone it would not be rewritten: it goes with the smaller neighbour.
                near = [place for place in (number - 1, number + 1) if 0 <= place < len(pieces)]
                if near:
                    least = min(near, key=lambda place: pieces[place].num_rows)
                    pieces[least] = pieces[least]._replace(copied=False)
        return _joined(pieces)

    def _stands_alone(self, piece: _Piece) -> bool:
        """Tell whether fragments that can be copied give files of a sensible size without their neighbours."""
        return len(piece.candidates) > 1 and self._is_full(
            piece.num_rows * _SENSIBLE_PART, piece.num_bytes * _SENSIBLE_PART
        )

    def _num_outputs(self, piece: _Piece) -> int:
        if not piece.copied:
            return self._limits.num_outputs(piece.num_rows, piece.num_bytes)
        return len(
            cut_outputs([(found.num_rows, found.num_bytes) for found in piece.candidates], self._limits)
        )

    def _is_useful(self, piece: _Piece) -> bool:
        """Tell whether fewer fragments come out than go in: limits of files may allow no fewer, at every new plan."""
        return self._num_outputs(piece) < len(piece.candidates) or any(
            found.alone for found in piece.candidates
        )

    def _task(self, number: int, piece: _Piece) -> CompactionTask:
        problems = (self._problem(found) for found in piece.candidates)
        reasons = [problem for problem in problems if problem is not None]
        num_pages = sum(map(self._num_pages, piece.candidates))
        mode: Literal["copy", "hybrid", "reencode"] = "copy" if piece.copied else "reencode"
        if piece.copied and self._options.compaction_mode == "hybrid":
            mode = "hybrid"
            if self._version == Version.V2_0:
                mode = "copy" if piece.num_bytes >= FULL_PAGE_BYTES * num_pages else "reencode"
                reasons += [_SMALL_PAGES_20] if mode == "reencode" else []
        return CompactionTask(
            self._snapshot.store,
            self._manifest.version,
            replace(self._options, excluded_fragment_ids=()),
            number,
            tuple(found.fragment for found in piece.candidates),
            mode,
            tuple(dict.fromkeys(reasons)),
            self._version.text,
            piece.num_rows,
            piece.num_bytes,
            num_pages,
            self._num_outputs(piece._replace(copied=mode != "reencode")),
        )


def _worth(bin_: list[_Candidate]) -> Iterator[list[_Candidate]]:
    """Yield candidates that are worth a task: one that wants neighbours has none."""
    if len(bin_) > 1 or (bin_ and bin_[0].alone):
        yield bin_


def _exceeds(num_deleted: int, num_rows: int, threshold: float) -> bool:
    return threshold < 1 and num_rows > 0 and num_deleted / num_rows > threshold


def _joined(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Join neighbours that are both not copied."""
    joined: list[_Piece] = []
    for piece in pieces:
        if joined and not piece.copied and not joined[-1].copied:
            joined[-1] = _Piece([*joined[-1].candidates, *piece.candidates], False)
        else:
            joined.append(piece)
    return joined
