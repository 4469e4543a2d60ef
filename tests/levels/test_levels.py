from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lancelet.blocks import FixedWidth
from lancelet.errors import FormatError, UnsupportedError
from lancelet.levels import Layer, Leaf, flat
from lancelet.levels.build import build, layer_kinds
from lancelet.levels.layers import MAX_LAYERS, max_rep, parse_layers
from lancelet.levels.steps import ITEM, LIST, FixedList, Lists, Validity
from lancelet.levels.unravel import check_layers, unravel
from levels.nested import expected_levels, kinds_of, random_row, random_type, rows_of, steps_of


@pytest.fixture(autouse=True, params=["native", "reference"])
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lancelet._native" if request.param == "native" else "lancelet.kernels.reference"
    module = pytest.importorskip(name)
    for user in ("build", "unravel", "flat"):
        monkeypatch.setattr(f"lancelet.levels.{user}.kernels", module)


def S(row: Any) -> Any:  # noqa: N802 - short, to keep the rows readable
    return ("struct", row)


WORKED = {
    "A": ((), [1, None, 3], [3], None, [0, 1, 0], 3),
    "B": (
        ("list",),
        [[1, 2], None, [], [3, None], [4], []],
        [3, 6],
        [1, 0, 1, 1, 1, 0, 1, 1],
        [0, 0, 2, 3, 0, 1, 0, 3],
        5,
    ),
    "C": (
        ("struct", "list"),
        [S([1, 2]), None, S(None), S([]), S([3])],
        [1, 6, 3],
        [1, 0, 1, 1, 1, 1],
        [0, 0, 3, 1, 2, 0],
        3,
    ),
    "D": (
        ("list", "struct"),
        [[S(1), None, S(None)], [], None, [S(4)]],
        [3, 3, 6],
        [1, 0, 0, 1, 1, 1],
        [0, 2, 1, 4, 3, 0],
        4,
    ),
    "E": (
        ("list", "list"),
        [[[1, 2], [], None], [], None, [[3]]],
        [1, 6, 6],
        [2, 0, 1, 1, 2, 2, 2],
        [0, 0, 2, 1, 4, 3, 0],
        3,
    ),
    "F": (("list",), [[], [], None, []], [1, 6], [1, 1, 1, 1], [2, 2, 1, 2], 0),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_examples(name: str) -> None:
    type_, rows, layers, rep, def_, num_slots = WORKED[name]
    steps, slots = steps_of(type_, rows)
    leaf = build(steps, robust=False)
    assert leaf.layers == tuple(layers)
    assert (leaf.rep is None) == (rep is None)
    assert leaf.rep is None or leaf.rep.tolist() == rep
    assert leaf.def_ is not None
    assert leaf.def_.tolist() == def_
    assert (leaf.num_rows, leaf.num_slots) == (len(rows), num_slots)
    assert rows_of(type_, unravel(leaf, kinds_of(type_)), slots) == rows


@pytest.mark.parametrize("seed", range(150))
def test_random_rows_come_back(seed: int) -> None:
    rng = random.Random(seed)
    type_ = random_type(rng, 4, fixed=seed % 3 == 0)
    nulls, empties = rng.choice((0, 0.1, 0.4)), rng.choice((0, 0.2, 0.5))
    rows = [random_row(rng, type_, nulls, empties) for _ in range(rng.choice((1, 2, 30, 200)))]
    steps, slots = steps_of(type_, rows, bit_offset=rng.choice((0, 0, 3, 13)))
    for robust in (False, True):
        leaf = build(steps, robust=robust)
        levels = expected_levels(type_, rows, leaf.layers)
        if leaf.rep is not None:
            assert leaf.rep.tolist() == [rep for rep, _ in levels]
        if leaf.def_ is not None:
            assert leaf.def_.tolist() == [def_ for _, def_ in levels]
        assert leaf.num_slots == len(slots)
        assert rows_of(type_, unravel(leaf, kinds_of(type_)), slots) == rows


def test_robust_kinds() -> None:
    """A struct outside of a list is always nullable, a list in a struct too (structural.md 11.1)."""
    steps, _ = steps_of(("list", "struct", "list", "struct"), [[S([S(1)])]])
    assert layer_kinds(steps, robust=False) == (1, 1, 2, 1, 2)
    assert layer_kinds(steps) == (1, 1, 4, 3, 2)
    steps, _ = steps_of(("struct", "list"), [S([]), S([1])])
    assert layer_kinds(steps) == (1, 6, 3)
    steps, _ = steps_of(("struct", "struct"), [S(S(1))])
    assert layer_kinds(steps) == (1, 1, 1)


def test_unused_definition_levels_are_there() -> None:
    steps, _ = steps_of(("struct", "list"), [S([1])])
    leaf = build(steps)
    assert leaf.def_ is not None
    assert not leaf.def_.any()
    leaf = replace(leaf, def_=None)
    assert [step.validity for step in unravel(leaf, kinds_of(("struct", "list")))] == [None, None, None]


def test_list_in_a_null_struct_is_null() -> None:
    """Also when its own layer has no number for null: a file need not have pushed the struct's nulls down."""
    rep, def_ = np.array([1, 1], np.uint16), np.array([0, 2], np.uint16)
    leaf = Leaf(2, (Layer(1), Layer.EMPTYABLE_LIST, Layer.NULLABLE_ITEM), rep, def_, 1, None)
    struct, lists, _ = unravel(leaf, [ITEM, LIST, ITEM])
    assert struct.validity is not None
    assert np.frombuffer(struct.validity, np.uint8).tolist() == [1]
    assert lists.validity is not None
    assert np.frombuffer(lists.validity, np.uint8).tolist() == [1]


def test_rows_of_fixed_lists_count_items() -> None:
    rows = [[S(1), S(None)], None]
    steps, slots = steps_of((2, "struct"), rows)
    leaf = build(steps, robust=False)
    assert leaf.layers == (3, 3, 3)
    assert leaf.num_rows == 4
    assert leaf.def_ is not None
    assert leaf.def_.tolist() == [0, 1, 3, 3]
    assert rows_of((2, "struct"), unravel(leaf, kinds_of((2, "struct"))), slots) == rows


@pytest.mark.parametrize("num_values", [0, 1, 7, 8, 9, 63, 64, 65, 1000])
@pytest.mark.parametrize("bit_offset", [0, 1, 7, 8, 13])
def test_flat_equals_the_general_path(num_values: int, bit_offset: int) -> None:
    rng = np.random.default_rng(num_values + bit_offset)
    validity = rng.integers(0, 256, (num_values + bit_offset + 7) // 8 + 1, dtype=np.uint8)
    step = Validity(num_values, validity, bit_offset)
    levels = flat.levels_from_validity(validity, bit_offset, num_values)
    nulls = flat.count_nulls(validity, bit_offset, num_values)
    leaf = build([step])
    assert nulls == levels.sum()
    if nulls:
        assert leaf.def_ is not None
        assert leaf.def_.tolist() == levels.tolist()
    bitmap, null_count = flat.validity_from_levels(levels)
    assert null_count == nulls
    (back,) = unravel(Leaf(num_values, (Layer.NULLABLE_ITEM,), None, levels, num_values, None), [ITEM])
    assert (back.validity is None) == (nulls == 0)
    if back.validity is not None:
        assert bytes(back.validity) == bytes(bitmap)


def test_all_null_without_levels() -> None:
    (step,) = unravel(Leaf(9, (Layer.NULLABLE_ITEM,), None, None, 9, None), [ITEM])
    assert step.validity is not None
    assert bytes(step.validity) == bytes(2)


B = (Layer.NULLABLE_ITEM, Layer.NULL_AND_EMPTY_LIST)
E = (Layer.ALL_VALID_ITEM, Layer.NULL_AND_EMPTY_LIST, Layer.NULL_AND_EMPTY_LIST)


@pytest.mark.parametrize(
    ("layers", "rep", "def_", "num_rows", "num_slots", "message"),
    [
        (B, [1, 2], [0, 0], 2, 2, "repetition level is larger"),
        (B, [1, 0], [0, 4], 1, 2, "definition level is larger"),
        (B, [1, 0], [0], 1, 2, "levels"),
        (B, [0, 1], [0, 0], 1, 2, "does not start a row"),
        (B, [1, 1], [0, 0], 1, 2, "number of rows"),
        (B, [1, 0], [0, 0], 1, 1, "values"),
        (B, [1, 0], [0, 2], 1, 1, "not open"),
        (B, [1, 0], [2, 0], 1, 1, "not open"),
        (B, [1, 0], [3, 1], 1, 1, "not open"),
        (B, None, None, 1, 1, "number of rows"),
        (B, None, [0], 1, 1, "number of rows|no repetition"),
        (E, [2, 1], [4, 0], 1, 1, "not open"),
        (E, [2, 1], [0, 4], 1, 1, "not open"),
        (E, [2, 0], [0, 1], 1, 1, "not open"),
        ((Layer.NULLABLE_ITEM,), [1], [0], 1, 1, "no list layer"),
        ((Layer.NULLABLE_ITEM,), None, [0, 0], 1, 2, "number of rows"),
        ((Layer.NULLABLE_ITEM,), None, [2], 1, 0, "definition level is larger"),
        ((Layer.ALL_VALID_ITEM,), None, None, 3, 2, "values"),
    ],
)
def test_corrupt_levels(
    layers: tuple[Layer, ...],
    rep: list[int] | None,
    def_: list[int] | None,
    num_rows: int,
    num_slots: int,
    message: str,
) -> None:
    reps = None if rep is None else np.array(rep, np.uint16)
    defs = None if def_ is None else np.array(def_, np.uint16)
    leaf = Leaf(num_rows, layers, reps, defs, num_slots, FixedWidth(8, num_slots, bytes(num_slots)))
    kinds = [LIST if layer.is_list else ITEM for layer in reversed(layers)]
    with pytest.raises(FormatError, match=message):
        unravel(leaf, kinds)


def test_values_must_match_the_slots() -> None:
    leaf = Leaf(3, (Layer.ALL_VALID_ITEM,), None, None, 3, FixedWidth(8, 2, b"ab"))
    with pytest.raises(FormatError, match="instead of 2"):
        unravel(leaf, [ITEM])


@pytest.mark.parametrize("def_", [[0, 3], [3, 0], [3, 4], [0, 0, 0]])
def test_corrupt_fixed_lists(def_: list[int]) -> None:
    layers = (Layer.NULLABLE_ITEM, Layer.NULLABLE_ITEM, Layer.NULLABLE_ITEM, Layer.NULLABLE_ITEM)
    leaf = Leaf(len(def_), layers, None, np.array(def_, np.uint16), len(def_), None)
    with pytest.raises(FormatError):
        unravel(leaf, [ITEM, FixedList(2), ITEM, ITEM])


def test_a_list_may_not_begin_within_a_fixed_list() -> None:
    leaf = Leaf(
        2, (Layer.ALL_VALID_ITEM,) * 2 + (Layer.ALL_VALID_LIST,), np.array([1, 1], np.uint16), None, 2, None
    )
    with pytest.raises(FormatError, match="within a fixed size list"):
        unravel(leaf, [LIST, FixedList(2), ITEM])


@pytest.mark.parametrize(
    ("layers", "kinds"),
    [
        ([1], [ITEM, ITEM]),
        ([1, 2], [ITEM, ITEM]),
        ([2, 1], [LIST, ITEM]),
        ([1, 1], [LIST, ITEM]),
        ([1, 2], [FixedList(2), ITEM]),
    ],
)
def test_layers_must_fit_the_type(layers: list[int], kinds: list[Any]) -> None:
    with pytest.raises(FormatError, match="do not fit"):
        check_layers([Layer(number) for number in layers], kinds)


@pytest.mark.parametrize("numbers", [[0], [], [1, 0]])
def test_bad_layers(numbers: list[int]) -> None:
    with pytest.raises(FormatError):
        parse_layers(numbers)


@pytest.mark.parametrize("numbers", [[7], [-1], [1 << 31], [1] * (MAX_LAYERS + 1)])
def test_unknown_layers(numbers: list[int]) -> None:
    with pytest.raises(UnsupportedError):
        parse_layers(numbers)


@pytest.mark.parametrize("seed", range(200))
def test_mutated_levels_give_rows_or_an_error(seed: int) -> None:
    rng = random.Random(seed)
    type_ = random_type(rng, 4)
    rows = [random_row(rng, type_, 0.2, 0.3) for _ in range(20)]
    leaf = build(steps_of(type_, rows)[0])
    for levels in (leaf.rep, leaf.def_):
        if levels is not None:
            for _ in range(rng.randint(0, 2)):
                levels[rng.randrange(len(levels))] = rng.randrange(5)
    try:
        steps = unravel(leaf, kinds_of(type_))
    except FormatError:
        return
    wide = [
        replace(step, offsets=step.offsets.astype(np.int64)) if isinstance(step, Lists) else step
        for step in steps
    ]
    back = build(wide, robust=False)
    assert (back.num_rows, back.num_slots) == (leaf.num_rows, leaf.num_slots)
    if leaf.rep is not None and back.rep is not None and max_rep(back.layers) > 0:
        assert back.rep.tolist() == leaf.rep.tolist()


@pytest.mark.parametrize("seed", range(200))
def test_few_levels_at_once_equal_the_general_way(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    type_ = random_type(rng, 4, fixed=seed % 5 == 0)
    rows = [random_row(rng, type_, 0.2, 0.3) for _ in range(rng.choice((1, 3, 40)))]
    leaf = build(steps_of(type_, rows)[0])
    for levels in (leaf.rep, leaf.def_):
        if levels is not None and seed % 2:
            levels[rng.randrange(len(levels))] = rng.randrange(4)
    outcomes: list[Any] = []
    for few in (4096, -1):
        monkeypatch.setattr("lancelet.levels.unravel._FEW_ENTRIES", few)
        try:
            steps = unravel(leaf, kinds_of(type_))
        except FormatError as error:
            outcomes.append(str(error))
        else:
            outcomes.append([_shown(step) for step in steps])
    assert outcomes[0] == outcomes[1]


def _shown(step: Any) -> tuple[Any, ...]:
    validity = None if step.validity is None else step.validity.tolist()
    return (
        type(step),
        step.num_values,
        validity,
        step.null_count,
        step.offsets.tolist() if isinstance(step, Lists) else None,
    )


def test_lists_with_hidden_items_are_refused() -> None:
    hidden = Lists(1, np.array([0, 2]), np.array([0], np.uint8))
    with pytest.raises(ValueError, match="items"):
        build([hidden, Validity(2)])
