"""What is measured of datasets, what is asked of it, and the rows of the report."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bars import ENGINE, JUDGE, NOT_WORSE, Bar
from benchmarks.operations import PRIVATE, RESIDENT, Quantity

GROUP = "datasets"  # the workload of all samples of this package


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the report.

    Parameters
    ----------
    name
        Of its samples.
    title
        In the report.
    quantity
        What the samples are.
    bar
        What is asked of the ratio.
    against
        Name of the samples that it is compared with, and their engine; by default pylance's of the same name.
    most
        What is asked of lancelet's median itself.
    """

    name: str
    title: str
    quantity: Quantity = Quantity.SECONDS
    bar: Bar | None = None
    against: tuple[str, str] | None = None
    most: float | None = None

    @property
    def other(self) -> tuple[str, str]:
        """Samples and engine that lancelet's are divided by."""
        return self.against or (self.name.removeprefix(f"{JUDGE}_"), JUDGE)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that is done with a dataset.

    Parameters
    ----------
    name
        On the command line and in the JSON.
    title
        In the report.
    recipe
        The dataset, of :data:`~benchmarks.datasets.recipes.RECIPES`.
    work
        Name of the work of :mod:`benchmarks.datasets.worker`.
    option
        What the work is told: the condition of a scan, the mode of a compaction.
    bar
        What is asked of the ratio of times.
    by_pylance
        Both read the dataset that pylance wrote; otherwise each its own.
    engines
        Who can do it.
    has_memory
        Its memory is measured, too.
    details
        Further rows, whose samples come with those of the time.
    """

    name: str
    title: str
    recipe: str
    work: str
    option: str = ""
    bar: Bar | None = None
    by_pylance: bool = False
    engines: tuple[str, ...] = (ENGINE, JUDGE)
    has_memory: bool = False
    most_private: float | None = None
    details: tuple[Row, ...] = ()

    @property
    def compacts(self) -> bool:
        """Whether it is about compaction, which needs a library that can do it."""
        return self.work.startswith(("compact", "raw"))

    @property
    def rows(self) -> list[Row]:
        """The rows of the report."""
        rows = [Row(self.name, self.title, bar=self.bar), *self.details]
        if self.has_memory:
            asked = None if self.most_private else NOT_WORSE
            private, resident = f"{self.name}_{PRIVATE}", f"{self.name}_{RESIDENT}"
            rows += [
                Row(private, f"{self.title}, private memory", Quantity.MEMORY, asked, most=self.most_private),
                Row(resident, f"{self.title}, peak resident memory", Quantity.MEMORY, NOT_WORSE),
            ]
        return rows


AIM = Bar(1.0, 0.6)
SELECTIVE = "total_amount > 33.35"  # one row of a hundred
BROAD = "passenger_count = 1"  # two of three
MOST_COPY_BYTES = 10e6


def _both(
    name: str, title: str, recipe: str, work: str, option: str = "", memory: bool = True
) -> list[Scenario]:
    """Return a scenario of reading: the dataset of each engine, and then pylance's."""
    own = Scenario(name, title, recipe, work, option, AIM, has_memory=memory)
    theirs = Scenario(
        f"{JUDGE}_{name}", f"{title}, of {JUDGE}'s dataset", recipe, work, option, NOT_WORSE, True, (ENGINE,)
    )
    return [own, theirs]


def _copies(name: str, title: str, recipe: str) -> list[Scenario]:
    """Return what is said of a binary copy: beside pylance's, and beside a copy of the bytes."""
    raw, plain = f"raw_{name}", f"plain_{name}"
    mode = "force_binary_copy"
    return [
        Scenario(
            name,
            f"{title}: binary copy",
            recipe,
            "compact",
            mode,
            Bar(1.2, 0.7),
            by_pylance=True,
            has_memory=True,
            most_private=MOST_COPY_BYTES,
        ),
        Scenario(raw, f"{title}: raw copy", recipe, "raw_copy", by_pylance=True, engines=(ENGINE,)),
        Scenario(
            plain,
            f"{title}: without waiting for the disk and verification",
            recipe,
            "compact_plain",
            mode,
            by_pylance=True,
            engines=(ENGINE,),
            details=(
                Row(plain, f"{title}: the same by the raw copy", bar=Bar(2.0, 1.5), against=(raw, ENGINE)),
            ),
        ),
    ]


def _sizes(name: str, title: str) -> tuple[Row, ...]:
    size = Row(
        f"{name}_output",
        f"{title}: bytes, by those of the input",
        Quantity.FILE_BYTES,
        Bar(1.68, 1.0),
        (f"{name}_input", ENGINE),
    )
    return size, Row(f"{name}_output", f"{title}: bytes", Quantity.FILE_BYTES)


def _merged() -> list[Scenario]:
    """Return what is said of many small fragments: hybrid compaction beside a full re-encode."""
    title, all_, hybrid = "1,000 small fragments", "reencode_small", "hybrid_small"

    def against(part: str, what: str, quantity: Quantity, bar: float) -> Row:
        return Row(
            f"{hybrid}_{part}",
            f"{title}, hybrid by re-encoded: {what}",
            quantity,
            Bar(bar, 1.0),
            (f"{all_}_{part}", ENGINE),
        )

    return [
        Scenario(all_, f"{title}: re-encode", "small", "compact", "reencode", NOT_WORSE, by_pylance=True),
        Scenario(
            hybrid,
            f"{title}: hybrid",
            "small",
            "compact",
            "hybrid",
            by_pylance=True,
            engines=(ENGINE,),
            details=(
                against("pages", "pages per column", Quantity.COUNT, 1.1),
                against("output", "bytes", Quantity.FILE_BYTES, 1.05),
                against("take", "take of 100 rows", Quantity.SECONDS, 1.1),
            ),
        ),
    ]


def _scenarios() -> list[Scenario]:
    tiny = Bar(2.0, 0.6)
    found = [
        Scenario("append", "1,000 tiny appends", "", "append", bar=tiny, has_memory=True),
        Scenario(
            "append_unsynced",
            "1,000 tiny appends, without waiting for the disk",
            "",
            "append_unsynced",
            bar=tiny,
        ),
        *_both("open_versions", "open + row count, 1,000 versions and fragments", "appends", "open"),
        *_both("scan_versions", "scan of 1,000 fragments of 10 rows, fresh", "appends", "scan"),
        *_both("filter_1", "filtered scan, 1 % of 10 M trips", "trips", "scan", SELECTIVE),
        *_both("filter_66", "filtered scan, two thirds of 10 M trips", "trips", "scan", BROAD),
        *_both("take_first", "first take of 1,000 rows, 200 fragments", "trips", "take_first"),
        *_both("take_warm", "take of 1,000 rows, 200 fragments, warm", "trips", "take_warm", memory=False),
        *_copies("copy_trips", "200 fragments of trips (2.2)", "trips"),
        *_copies("copy_trips21", "200 fragments of trips (2.1)", "trips-2.1"),
        *_copies("copy_vectors", "50 fragments of vectors (2.2)", "vectors"),
    ]
    title = "200 fragments of trips (2.2): re-encode"
    found.append(
        Scenario(
            "reencode_trips",
            title,
            "trips",
            "compact",
            "reencode",
            Bar(1.0, 0.5),
            by_pylance=True,
            has_memory=True,
            details=_sizes("reencode_trips", title),
        )
    )
    return [*found, *_merged()]


SCENARIOS = {scenario.name: scenario for scenario in _scenarios()}
