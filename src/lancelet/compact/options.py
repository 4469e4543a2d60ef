"""What compaction goes by: pylance's options and a few more, with defaults from the config of the dataset (dataset.md 7.1)."""

from __future__ import annotations

import difflib
import json
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError, UnsupportedError
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["CONFIG_PREFIX", "MODES", "CompactionOptions"]

#: Keys of the config that hold defaults for a dataset.
CONFIG_PREFIX = "lance.compaction."

#: What ``compaction_mode`` may be.
MODES = ("hybrid", "try_binary_copy", "force_binary_copy", "reencode")


@dataclass(frozen=True, slots=True)
class CompactionOptions:
    """How fragments are chosen, and how they are put together.

    Attributes
    ----------
    target_rows_per_fragment
        Rows that a fragment should have. Those with fewer are put together with their neighbours.
    max_rows_per_group
        Of files of the first format; accepted, without effect.
    max_bytes_per_file
        Bytes at which a file ends; ``None``: no limit. Copies never exceed it, but may only end between files.
    materialize_deletions
        Rewrite fragments with many deleted rows.
    materialize_deletions_threshold
        Part of the rows of a fragment above which the deleted ones are many; from 1 on they never are.
    num_threads
        Most tasks that run at the same time; ``None``: as many as there are processors. They share `memory_limit`, and there are
        never more than have 128 MiB of it each.
    batch_size
        Rows that are decoded at a time; ``None``: by their size.
    defer_index_remap
        Not supported.
    compaction_mode
        ``"hybrid"``: bytes are copied where that is safe, but small pages are joined to full ones; ``"try_binary_copy"``: bytes are
        copied where that is safe; ``"force_binary_copy"``: bytes are copied, or it is an error; ``"reencode"``.
    binary_copy_read_batch_bytes
        Bytes that a copy asks a store for at a time.
    max_source_fragments, max_source_rows, max_source_bytes
        Tasks are taken in order until the next one would exceed these sums, and files behind it are not opened; ``None``: no
        limit.
    excluded_fragment_ids
        Fragments that stay as they are. Nothing is put together across them.
    data_storage_version
        File version of what is written; ``None``: that of the dataset. Fragments of other versions are rewritten.
    target_bytes_per_file
        Bytes that a fragment should have: those with fewer rows than the target, but so many bytes, are full; ``None``: only rows
        count.
    max_rows_per_file
        Most rows of a new file; ``None``: no limit but that of the format.
    memory_limit
        Bytes that a compaction may take while it decodes and encodes; on an executor, bytes that each task may take. However low
        it is, a task that decodes needs about 50 MB.
    drop_indices
        Remove the indices that do not survive.
    """

    target_rows_per_fragment: int = 1 << 20
    max_rows_per_group: int = 1024
    max_bytes_per_file: int | None = None
    materialize_deletions: bool = True
    materialize_deletions_threshold: float = 0.1
    num_threads: int | None = None
    batch_size: int | None = None
    defer_index_remap: bool = False
    compaction_mode: str = "hybrid"
    binary_copy_read_batch_bytes: int = 16 << 20
    max_source_fragments: int | None = None
    max_source_rows: int | None = None
    max_source_bytes: int | None = None
    excluded_fragment_ids: tuple[int, ...] = ()
    data_storage_version: str | None = None
    target_bytes_per_file: int | None = None
    max_rows_per_file: int | None = None
    memory_limit: int = 256 << 20
    drop_indices: bool = False

    def __post_init__(self) -> None:
        for name in _COUNTS:
            object.__setattr__(self, name, _count(name, getattr(self, name)))
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} is {getattr(self, name)!r}; it may be True or False")
        threshold = _threshold(self.materialize_deletions_threshold)
        object.__setattr__(self, "materialize_deletions_threshold", threshold)
        if not isinstance(self.compaction_mode, str) or self.compaction_mode not in MODES:
            names = ", ".join(map(repr, MODES))
            raise OptionError(f"compaction_mode is {self.compaction_mode!r}; it may be {names}")
        object.__setattr__(self, "excluded_fragment_ids", _ids(self.excluded_fragment_ids))
        if self.data_storage_version is not None:
            version = Version.parse(self.data_storage_version)
            if version > Version.V2_2:
                raise UnsupportedError(f"file version {version.text} is unstable and not written")
            object.__setattr__(self, "data_storage_version", version.text)
        if self.defer_index_remap:
            raise UnsupportedError(
                "defer_index_remap: indices are not remapped here, neither now nor later; drop_indices removes them"
            )

    @classmethod
    def of(cls, config: Mapping[str, str], **given: Any) -> Self:
        """Return the options for a dataset.

        Parameters
        ----------
        config
            Config of the dataset. Keys below :data:`CONFIG_PREFIX` that are unknown here are those of other programs.
        **given
            Options of the call, which win; ``None`` is as good as nothing.

        Raises
        ------
        OptionError
            An option is unknown, or its value is none that it may have.
        UnsupportedError
            An option asks for what is not supported.
        """
        for name in given:
            if name not in _NAMES:
                near = difflib.get_close_matches(name, _NAMES, n=3) or list(_NAMES)
                raise OptionError(f"there is no option {name!r}; the nearest are {', '.join(near)}")
        values = {name: value for name, value in given.items() if value is not None}
        for name in _NAMES:
            text = config.get(CONFIG_PREFIX + name)
            if text is not None and name not in values:
                values[name] = _of_text(name, text)
        return cls(**values)

    @property
    def version(self) -> Version | None:
        """File version that is asked for."""
        return None if self.data_storage_version is None else Version.parse(self.data_storage_version)

    @property
    def may_copy(self) -> bool:
        """Whether bytes are moved where that is safe."""
        return self.compaction_mode != "reencode"

    def to_json(self) -> str:
        """Return the options as JSON text, for :meth:`from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Make options of what :meth:`to_json` returned.

        Raises
        ------
        OptionError
            The text is something else.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise OptionError(f"these are no options in JSON: {error}") from None


_NAMES = tuple(field.name for field in fields(CompactionOptions))
_SWITCHES = ("materialize_deletions", "defer_index_remap", "drop_indices")
#: Whole numbers of at least 1; ``None`` where that is the default.
_COUNTS = (
    "target_rows_per_fragment",
    "max_rows_per_group",
    "max_bytes_per_file",
    "num_threads",
    "batch_size",
    "binary_copy_read_batch_bytes",
    "max_source_fragments",
    "max_source_rows",
    "max_source_bytes",
    "target_bytes_per_file",
    "max_rows_per_file",
    "memory_limit",
)
_OPTIONAL = tuple(field.name for field in fields(CompactionOptions) if field.default is None)


def _whole(value: Any) -> int | None:
    """Return a whole number, also one of NumPy, as one of Python; ``None``: it is something else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _count(name: str, value: Any) -> int | None:
    if value is None and name in _OPTIONAL:
        return None
    found = _whole(value)
    if found is None or found < 1:
        raise OptionError(f"{name} is {value!r:.100}; it must be a whole number of at least 1")
    return found


def _threshold(value: Any) -> float:
    try:
        found = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:  # a whole number that no float is near to
        found = math.nan
    if math.isnan(found) or found < 0:
        raise OptionError(
            f"materialize_deletions_threshold is {value!r:.100}; it must be a number of at least 0"
        )
    return found


def _ids(given: Any) -> tuple[int, ...]:
    is_list = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
    try:
        found = [_whole(id_) for id_ in given] if is_list else [None]
    except TypeError:  # an array without dimensions
        found = [None]
    ids = {id_ for id_ in found if id_ is not None and id_ >= 0}
    if None in found or len(ids) < len(set(found)):
        raise OptionError(f"excluded_fragment_ids is {given!r:.100}; it must be a list of ids of fragments")
    return tuple(sorted(ids))


def _of_text(name: str, text: str) -> Any:
    """Return the value of an option that stands in the config as text."""
    kinds: dict[str, Callable[[str], Any]] = dict.fromkeys(_COUNTS, int)
    kinds |= dict.fromkeys(_SWITCHES, _switch)
    kinds |= {"materialize_deletions_threshold": float, "excluded_fragment_ids": _id_list}
    try:
        return kinds.get(name, str)(text)
    except ValueError:
        raise OptionError(f"the config says {CONFIG_PREFIX}{name} = {text!r}, which is no value") from None


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _id_list(text: str) -> list[int]:
    return [int(part) for part in text.strip("[] ").split(",") if part.strip()]
