"""What filters refuse, each with an error that names it; nothing else escapes."""

from __future__ import annotations

import random

import pytest

from filter_judges import BATCH, TABLE
from lancelet.errors import OptionError
from lancelet.filters import compile_expression, compile_filter

REFUSED = [
    ("", "empty"),
    ("   ", "empty"),
    ("i32 >", "no SQL: something is missing at line 1, column 5"),
    ("i32 > 1)", "no SQL"),
    ("(i32 > 1", "no SQL"),
    ("i32 = 'abc", "no SQL"),
    ("a; drop table x", "one expression"),
    ("i32 > 1; i32 > 2", "one expression"),
    ("drop table x", "DROP"),
    ("select 1", "SELECT"),
    ("(select 1) = 1", "SUBQUERY"),
    ("i32 in (select 1)", "QUERY of IN"),
    ("exists (select 1)", "EXISTS"),
    ("i32 > all (select 1)", "ALL"),
    ("i32 = any([1, 2])", "ANY|ARRAY"),
    ("sum(i32) > 1", "no function 'sum'"),
    ("count(*) > 1", "no function 'count'|STAR"),
    ("count(distinct i32) > 1", "DISTINCT"),
    ("row_number() over () > 1", "WINDOW"),
    ("abs(i32) filter (where b) > 1", "FILTER"),
    ("s like 'a%' escape '!'", "ESCAPE"),
    ("s not like 'a%' escape '!'", "ESCAPE"),
    ("s like any ('a%')", "ANY"),
    ("s like t", "constant pattern"),
    ("s similar to 'a'", "SIMILARTO"),
    ("s glob 'a'", "GLOB"),
    ("i32 > 1 -- c", "comments"),
    ("i32 /* c */ > 1", "comments"),
    ("x -> x", "JSONEXTRACT"),
    ("i32 = :a", "PLACEHOLDER"),
    ("i32 = ?", "PLACEHOLDER"),
    ("i32 = @a", "PARAMETER"),
    ("i32 = $1", "no column"),
    ("*", "STAR"),
    ("i32 as x", "ALIAS"),
    ("i32 x", "ALIAS"),
    ("1_000 > i32", "ALIAS|no SQL"),
    ("(i32, i64) = (1, 2)", "TUPLE"),
    ("[1, 2] = l", "ARRAY"),
    ("{'a': 1} = st", "STRUCT"),
    ("interval '1' day = dur", "INTERVAL"),
    ("i32 & 1 = 1", "BITWISEAND"),
    ("i32 << 1 = 2", "BITWISELEFTSHIFT"),
    ("i32 div 2 = 1", "INTDIV"),
    ("s collate \"C\" = 'a'", "COLLATE"),
    ("ts at time zone 'UTC' = ts", "ATTIMEZONE"),
    ("N'abc' = s", "NATIONAL"),
    ("'a' 'b' = s", "CONCAT"),
    ("x'616' = bin", "even number of hexadecimal digits"),
    ("i32 in ()", "at least one value"),
    ("i32 in 1", "FIELD of IN"),
    ("i32 between symmetric 1 and 2", "SYMMETRIC of BETWEEN"),
    ("i32 = b in (true)", "parentheses around the condition"),
    ("b = i32 > 1", "parentheses around the condition"),
    ("s || i32 + 1 = 'a'", "parentheses around arithmetic"),
    ("l[1:2] = 1", "SLICE"),
    ("st.a.x = 1", "no struct"),
    ("st.A = 1", "no field 'A'; there are a"),
    ("st[1] = 1", "have names"),
    ("nope > 1", "no column 'nope'"),
    ("i33 > 1", "no column 'i33'; there are i"),
    ("`cap` > 1", "no column 'cap'; there are Cap"),
    ("\"Cap\" > 1", "no common type"),
    ("t.i32 > 1", "no struct"),
    ("lowr(s) = 'a'", "no function 'lowr'; the nearest are lower"),
    ("lower(s, t) = 'a'", "lower takes 1 arguments, not 2"),
    ("lower() = 'a'", "lower takes 1 arguments, not 0"),
    ("lower(i32) = 'a'", "lower needs text, and column i32"),
    ("abs(s) = 1", "abs needs number"),
    ("starts_with(s, t)", "needs a constant"),
    ("substr(s, 0) = 'a'", "from 1"),
    ("regexp_like(s, '(')", "regexp_like"),
    ("regexp_like(s, 'a', 'x')", "flags"),
    ("date_part('eon', ts) = 1", "no part 'eon'"),
    ("date_part('hour', s) = 1", "needs time"),
    ("array_has(l, 'x')", "no element"),
    ("array_length(s) = 1", "needs list"),
    ("i32 = '1'", "column i32 .int32. and '1' .string. have no common type"),
    ("s = 1", "no common type"),
    ("s in ('a', 1)", "no common type"),
    ("b = 1", "no common type"),
    ("d = 1", "no common type"),
    ("d = 'today'", "no common type"),
    ("st = st", "not defined for struct"),
    ("l = l", "not defined for list"),
    ("i32 and b", "AND needs a condition"),
    ("not i32", "NOT needs a condition"),
    ("i32 is true", "IS TRUE needs a condition"),
    ("case when i32 then 1 end = 1", "WHEN needs a condition"),
    ("case when b then 1 else 'x' end = 1", "no common type"),
    ("s + 1 = 2", "not defined for"),
    ("d + 1 > d", "not defined for"),
    ("-u8 < 0", "not defined for uint8"),
    ("-s = 'a'", "negate"),
    ("dec % 2 = 1", "not defined for decimal"),
    ("cast(i32 as interval) = 1", "do not cast"),
    ("cast(i32 as varchar(2)) = '1'", "do not cast"),
    ("cast(i32 as int[]) = l", "do not cast"),
    ("cast(ts as timestamptz) = ts", "do not cast"),
    ("cast(i32 as decimal(99, 2)) = 1", "no decimal"),
    ("cast(f64 as string) = '1.5'", "cannot be cast to text"),
    ("cast(st as int) = 1", "cast"),
    ("cast(d as date format 'x') = d", "STRTODATE"),
    ("cast('x' as int) = 1", "'x' is no int32"),
    ("cast('0x10' as int) = 16", "is no int32"),
    ("7 / 0 = 1", "divide by zero"),
    ("i32", "a filter is a condition"),
    ("'abc'", "a filter is a condition"),
    ("NULL", "a filter is a condition"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:50] for text, _ in REFUSED])
def test_it_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compile_filter(text, TABLE.schema)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i32 / i64 = 1", "divide by zero"),
        ("i32 % i64 = 1", "divide by zero"),
        ("i64 + 9223372036854775807 > 0", "overflow"),
        ("i8 * i8 * 1000000000000000000 > 0", "overflow"),
        ("CAST(i64 AS INT) = 1", "not in range"),
        ("CAST(f64 AS INT) = 1", "cast of double"),
        ("CAST(s AS INT) = 1", "'abc' is no int32"),
        ("CAST(bin AS STRING) = 'a'", "UTF8"),
        (r"regexp_like(s, '\w')", "beyond ASCII"),
    ],
)
def test_values_that_do_not_fit_are_errors_that_name_the_filter(text: str, message: str) -> None:
    condition = compile_filter(text, TABLE.schema)
    with pytest.raises(OptionError, match=message) as caught:
        condition.mask(BATCH)
    assert repr(text) in str(caught.value)


def test_a_filter_is_text_or_an_expression() -> None:
    with pytest.raises(OptionError, match="not int"):
        compile_filter(1, TABLE.schema)  # type: ignore[arg-type]


def test_a_missing_column_of_a_batch_is_named() -> None:
    with pytest.raises(OptionError, match="needs column 'i32'"):
        compile_filter("i32 > 1", TABLE.schema).mask(BATCH.select(["i64"]))


FIRST = "i32 s b d l st.a 1 -2 1.5 'a' NULL TRUE ( ) ( ) , + - * / % || = <> < >= AND OR NOT IN BETWEEN LIKE IS DISTINCT"
MORE = "FROM CASE WHEN THEN ELSE END CAST AS INT :: [ ] . x'6' DATE abs lower coalesce ` \" ; -- ' SELECT ESCAPE EXTRACT"
WORDS = [*FIRST.split(), *MORE.split()]
"""What SQL consists of."""


@pytest.mark.parametrize("seed", range(20))
def test_any_words_are_compiled_or_refused(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(100):
        text = " ".join(dice.choices(WORDS, k=dice.randint(1, 12)))
        try:
            compile_expression(text, TABLE.schema).evaluate(BATCH)
        except OptionError:
            continue
