"""A plain model of nested rows: types, random rows, their steps, and their levels as structural.md 4.2 words them.

A type is a tuple, outer-most first: ``"struct"``, ``"list"`` or the dimension of a fixed size list; the leaf follows at the end
without being named. A row is None, ``("struct", row)``, a list of rows, or an integer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.levels.layers import Layer
from lancelet.levels.steps import ITEM, LIST, FixedList, FixedLists, Lists, Step, StepKind, Validity

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

Type = tuple[Any, ...]


def random_type(rng: random.Random, depth: int, *, fixed: bool = False) -> Type:
    choices: list[Any] = ["struct", "list", "list"]
    if fixed:
        choices += [2, 3]
    type_ = tuple(rng.choice(choices) for _ in range(rng.randint(0, depth)))
    # below a fixed size list that makes a layer there is a struct
    return tuple(part for kind in type_ for part in ((kind, "struct") if isinstance(kind, int) else (kind,)))


def random_row(rng: random.Random, type_: Type, nulls: float, empties: float) -> Any:
    if rng.random() < nulls:
        return None
    if not type_:
        return rng.randrange(1 << 30)
    kind, rest = type_[0], type_[1:]
    if kind == "struct":
        return ("struct", random_row(rng, rest, nulls, empties))
    length = kind
    if kind == "list":
        length = 0 if rng.random() < empties else rng.choice((0, 1, 1, 2, 3, 7))
    return [random_row(rng, rest, nulls, empties) for _ in range(length)]


def bitmap(rows: Sequence[Any], bit_offset: int = 0) -> Any:
    bits = [True] * bit_offset + [row is not None for row in rows]
    return np.packbits(np.array(bits, dtype=np.bool_), bitorder="little")


def steps_of(type_: Type, rows: Sequence[Any], bit_offset: int = 0) -> tuple[list[Step], list[Any]]:
    """Return steps and the leaf's slots."""
    validity = bitmap(rows, bit_offset) if None in rows or bit_offset else None
    if not type_:
        return [Validity(len(rows), validity, bit_offset)], list(rows)
    kind, rest = type_[0], type_[1:]
    children: list[Any] = []
    step: Step
    if kind == "struct":
        step = Validity(len(rows), validity, bit_offset)
        children = [None if row is None else row[1] for row in rows]
    elif kind == "list":
        lengths = [len(row or ()) for row in rows]
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        step = Lists(len(rows), offsets, validity, bit_offset)
        children = [child for row in rows for child in row or ()]
    else:
        step = FixedLists(len(rows), kind, validity, bit_offset)
        children = [child for row in rows for child in ([None] * kind if row is None else row)]
    below, slots = steps_of(rest, children, bit_offset)
    return [step, *below], slots


def kinds_of(type_: Type) -> list[StepKind]:
    kinds: list[StepKind] = [
        FixedList(kind) if isinstance(kind, int) else LIST if kind == "list" else ITEM for kind in type_
    ]
    return [*kinds, ITEM]


def rows_of(type_: Type, steps: Sequence[Step], slots: Sequence[Any]) -> list[Any]:
    """Put the rows together again."""
    step = steps[0]
    valid = np.ones(step.num_values, dtype=np.bool_)
    if step.validity is not None:
        valid = (
            np.unpackbits(np.frombuffer(step.validity, np.uint8), bitorder="little")[: step.num_values] != 0
        )
    if not type_:
        assert len(slots) == step.num_values
        return [slot if ok else None for slot, ok in zip(slots, valid, strict=True)]
    children = rows_of(type_[1:], steps[1:], slots)
    if isinstance(step, Lists):
        assert step.offsets[0] == 0
        assert step.offsets[-1] == len(children)
        found: list[Any] = [children[a:b] for a, b in zip(step.offsets, step.offsets[1:], strict=False)]
        assert all(ok or not row for row, ok in zip(found, valid, strict=True))
    elif isinstance(step, FixedLists):
        size = step.dimension
        assert len(children) == size * step.num_values
        found = [children[i * size : (i + 1) * size] for i in range(step.num_values)]
    else:
        found = [("struct", child) for child in children]
    return [row if ok else None for row, ok in zip(found, valid, strict=True)]


def expected_levels(type_: Type, rows: Sequence[Any], layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """Say the levels of `rows` entry by entry, from the numbers of the layers (inner-most first)."""
    numbers = []
    used = lists = 0
    for layer in layers:
        null = empty = 0
        if layer.num_def == 2:
            null, empty = used + 1, used + 2
        elif layer == Layer.EMPTYABLE_LIST:
            empty = used + 1
        elif layer.num_def:
            null = used + 1
        used += layer.num_def
        lists += layer.is_list
        numbers.append((null, empty, lists))
    numbers.reverse()

    def walk(depth: int, row: Any, rep: int, outer: int) -> Iterator[tuple[int, int]]:
        null, empty, level = numbers[depth]
        kind = type_[depth] if depth < len(type_) else None
        if kind == "list":
            rep = rep or level
            if outer or not row:
                yield rep, outer or (null if row is None else empty)
            else:
                for i, child in enumerate(row):
                    yield from walk(depth + 1, child, rep if i == 0 else 0, 0)
            return
        if row is None and not outer:
            assert null
            outer = null
        if kind is None:
            yield rep, outer
        elif kind == "struct":
            yield from walk(depth + 1, None if row is None else row[1], rep, outer)
        else:
            for i in range(kind):
                yield from walk(depth + 1, None if row is None else row[i], rep if i == 0 else 0, outer)

    return [entry for row in rows for entry in walk(0, row, 0, 0)]
