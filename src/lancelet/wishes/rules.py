"""Rules for many columns at once: by type, by name, by pattern (compressors.md 7.1)."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.wishes.column import NO_WISHES, ColumnOptions
from lancelet.wishes.type_names import names_of_type, printed_type, type_heads

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CompressionFieldParams", "CompressionParams"]


@dataclass(frozen=True, slots=True)
class CompressionFieldParams:
    """What a rule asks for; ``None`` is no wish. The members are those of :class:`ColumnOptions`.

    Raises
    ------
    OptionError
        A value is of a wrong type or out of its range.
    """

    rle_threshold: float | None = None
    compression: str | None = None
    compression_level: int | None = None
    bss: str | None = None
    minichunk_size: int | None = None

    def __post_init__(self) -> None:
        self.as_options()

    def as_options(self) -> ColumnOptions:
        """Return the same wishes as those of a column."""
        return ColumnOptions(**{member.name: getattr(self, member.name) for member in fields(self)})


@dataclass(frozen=True, slots=True)
class CompressionParams:
    """Rules for the leaf columns of any schema.

    For a leaf, the rule of its type is taken first; then, over it, the rule of its name, or else the first pattern
    that matches: longer ones first, equally long ones by alphabet. The name is that of the leaf alone, not a path.
    A rule that does not suit a leaf (symbol tables for numbers) has no effect on it.

    Attributes
    ----------
    types
        By type: a name as Arrow's Rust implementation prints it (``"Int32"``, ``"Utf8"``,
        ``'Timestamp(Microsecond, Some("UTC"))'``), or a pyarrow type or its name.
    columns
        By name of the leaf, or by a pattern with one star: ``"*"``, ``"id_*"``, ``"*_id"``, ``"user_*_id"``.

    Raises
    ------
    OptionError
        A key is no type, or a pattern with more than one star, or two keys mean the same type.

    Examples
    --------
    >>> rules = CompressionParams(columns={"*_id": CompressionFieldParams(rle_threshold=0.5, bss="off")})
    >>> rules.for_leaf("user_id", pa.int64())
    ColumnOptions(rle_threshold=0.5, bss='off')
    >>> rules.for_leaf("score", pa.float64())
    ColumnOptions()
    """

    types: Mapping[str | pa.DataType, CompressionFieldParams] = field(default_factory=dict)
    columns: Mapping[str, CompressionFieldParams] = field(default_factory=dict)

    def __post_init__(self) -> None:
        types: dict[str, CompressionFieldParams] = {}
        for key, params in dict(self.types).items():
            name = _checked_type(key)
            if name in types:
                raise OptionError(f"types= has two rules for {name}")
            types[name] = _checked_params(key, params)
        for key, params in dict(self.columns).items():
            _checked_params(key, params)
            if not isinstance(key, str) or key.count("*") > 1:
                raise OptionError(f"columns= names {key!r}; a pattern is text with at most one star")
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "columns", dict(self.columns))

    def for_leaf(self, name: str, type_: pa.DataType) -> ColumnOptions:
        """Return what the rules ask for a leaf.

        Raises
        ------
        OptionError
            Its type has a rule under the name of Rust and one under that of pyarrow.
        """
        if not self.types and not self.columns:
            return NO_WISHES
        return self._for_name(name).over(self._for_type(type_))

    def _for_type(self, type_: pa.DataType) -> ColumnOptions:
        found = [key for key in dict.fromkeys(names_of_type(type_)) if key in self.types]
        if len(found) > 1:
            raise OptionError(f"types= has two rules for one type: {found[0]} and {found[1]}")
        return self.types[found[0]].as_options() if found else ColumnOptions()

    def _for_name(self, name: str) -> ColumnOptions:
        if name in self.columns:
            return self.columns[name].as_options()
        patterns = sorted((key for key in self.columns if "*" in key), key=lambda key: (-len(key), key))
        for pattern in patterns:
            prefix, _, suffix = pattern.partition("*")
            long_enough = len(name) >= len(prefix) + len(suffix)
            if long_enough and name.startswith(prefix) and name.endswith(suffix):
                return self.columns[pattern].as_options()
        return ColumnOptions()


def _checked_type(key: Any) -> str:
    """Return the key of a rule for a type as text."""
    if isinstance(key, pa.DataType):
        return printed_type(key)
    if not isinstance(key, str):
        raise OptionError(f"types= has the key {key!r}; it must be a type or the name of one")
    head = re.split(r"\W", key)[0]
    if head not in type_heads():
        near = difflib.get_close_matches(head, type_heads(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise OptionError(f"types= names {key!r}, which is no Arrow type{hint}")
    return key


def _checked_params(key: Any, params: Any) -> CompressionFieldParams:
    if not isinstance(params, CompressionFieldParams):
        raise OptionError(f"the rule for {key!r} must be CompressionFieldParams, not {type(params).__name__}")
    return params
