"""Long and deep filters: quick, or refused; never a crash."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from lancelet.errors import OptionError
from lancelet.filters import compile_filter

BATCH = pa.record_batch(
    {
        "a": np.arange(1000),
        "s": [str(number) for number in range(1000)],
        "b": [True, None] * 500,
        "f": np.arange(1000) / 2,
        "l": [[1]] * 1000,
    }
)
MANY = 100_000


def kept(text: str) -> int:
    condition = pickle.loads(pickle.dumps(compile_filter(text, BATCH.schema)))
    return int(condition.mask(BATCH).true_count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a IN ({', '.join(map(str, range(500, MANY)))})", 500),
        (f"a NOT IN ({', '.join(map(str, range(-500, MANY)))})", 0),
        (f"s IN ({', '.join(repr(str(number)) for number in range(0, MANY, 2))})", 500),
        (f"f IN ({', '.join(f'{number}.5' for number in range(MANY))})", 500),
    ],
    ids=["integers", "negated", "texts", "fractions"],
)
def test_long_lists_are_looked_up(text: str, expected: int) -> None:
    start = time.perf_counter()
    assert kept(text) == expected
    assert time.perf_counter() - start < 20, "a list is walked item by item"


@pytest.mark.parametrize("values", ["1.5, NULL", "NULL", "300000000000000000000", "'x', 1"])
def test_long_lists_mean_what_short_ones_mean(values: str) -> None:
    short = compile_filter("a IN (1, 2)", BATCH.schema).mask(BATCH)
    long = ", ".join(["1", "2"] * 40)
    try:
        assert compile_filter(f"a IN ({long}, {values})", BATCH.schema).mask(BATCH).equals(short)
    except OptionError as error:
        assert "'x'" in values, error  # noqa: PT017


def test_a_list_in_the_text_is_no_mark() -> None:
    marked = f"s IN ('\0list 0') OR a IN ({', '.join(map(str, range(40)))})"
    assert kept(marked) == 40
    assert (
        kept(
            f"a IN ({', '.join(map(str, range(40)))}) AND s IN ({', '.join(repr(str(n)) for n in range(30, 90))})"
        )
        == 10
    )


def test_long_chains_are_one_level() -> None:
    assert kept(" OR ".join(f"a = {number}" for number in range(0, 10_000, 2))) == 500
    assert kept(" AND ".join(f"a <> {number}" for number in range(0, 10_000, 2))) == 500


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2000 + "b" + ")" * 2000,
        "NOT " * 5000 + "b",
        "- " * 3000 + "a > 0",
        " + ".join(["a"] * 5000) + " > 0",
        "||".join(["s"] * 5000) + " = ''",
        "CASE WHEN b THEN " * 500 + "a" + " END" * 500 + " > 0",
        "abs(" * 3000 + "a" + ")" * 3000 + " = 1",
        "l" + "[1]" * 3000 + " = 1",
        "a" + "::INT" * 3000 + " = 1",
        "b IS NULL" + " IS NULL" * 3000,
        "a" + ".a" * 3000 + " = 1",
        "(" * 3000,
    ],
    ids=lambda text: text[:20],
)
def test_deep_filters_are_refused(text: str) -> None:
    with pytest.raises(OptionError):
        compile_filter(text, BATCH.schema)


def test_what_is_compiled_can_be_computed_and_pickled_from_deep_within() -> None:
    deepest = 0
    for levels in range(5, 120, 5):
        try:
            condition = compile_filter(" + ".join(["a"] * levels) + " >= 0", BATCH.schema)
        except OptionError:
            break
        deepest = levels
        assert pickle.loads(pickle.dumps(condition)).mask(BATCH).true_count == len(BATCH)
    assert deepest >= 90
    assert kept("(" * 20 + "b" + ")" * 20) == 500


@pytest.mark.parametrize(
    "number", ["1e999999999", "1e-999999999", "0e999999999", "9" * 5000, "0." + "9" * 5000]
)
@pytest.mark.parametrize("form", ["a < {}", "f < {}", "m < {}", "a + {} > 0", "a IN (1, {})", "-{} < a"])
def test_numbers_of_any_length_are_taken_or_refused(form: str, number: str) -> None:
    batch = pa.record_batch({"a": [1], "f": [1.0], "m": pa.array([1], pa.decimal128(10, 2))})
    try:
        compile_filter(form.format(number), batch.schema).mask(batch)
    except OptionError:
        return


def test_the_parser_and_the_engine_are_imported_when_needed() -> None:
    program = (
        "import sys, pyarrow as pa, pyarrow.compute as pc\n"
        "from lancelet.filters import compile_filter\n"
        "later = ('sqlglot', 'pyarrow.acero', 'pyarrow.dataset')\n"
        "assert not any(name in sys.modules for name in later)\n"
        "f = compile_filter('a > 1', pa.schema({'a': pa.int32()}))\n"
        "f.mask(pa.record_batch({'a': pa.array([1, 2], pa.int32())}))\n"
        "assert 'sqlglot' in sys.modules\n"
        "assert 'pyarrow.acero' not in sys.modules and 'pyarrow.dataset' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
