"""Every operator and function in a filter, plain, negated and IS NULL, against pylance 14.0.2 and DuckDB.

Where the two differ pylance is right; what differs is listed with the reason, and a listed difference that is none fails too.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from filter_judges import TABLE, by_duckdb, by_pylance, by_us
from lancelet.filters.functions import ALIASES, FUNCTIONS

FORMS = ("{}", "NOT ({})", "({}) IS NULL")

REFUSED = "refuses a constant that is no value of the column's type, where it is beside the column alone"
NO_SYNTAX = "does not know this part of SQL"
TEXT_TYPE = "has no implicit cast here"
SLASH = "divides integers as floating point"


@dataclass(frozen=True)
class Case:
    text: str
    pylance: str = ""
    """Why pylance answers otherwise in one of the forms."""
    duckdb: str = ""
    """Why DuckDB does."""
    in_duckdb: str = ""
    """The same in the words of DuckDB."""


def case(text: str, pylance: str = "", duckdb: str = "", in_duckdb: str = "") -> Case:
    return Case(text, pylance, duckdb, in_duckdb)


NUMERIC = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64", "dec")
COMPARISONS = [
    case(f"{name} {sign} 1") for name in NUMERIC for sign in ("=", "==", "<>", "!=", "<", "<=", ">", ">=")
]
NO_HALF = "has no 16-bit floating point"
WIDE = "has no 256-bit decimals"
CONSTANTS = [
    *(case(f"f16 {sign} 1", duckdb=NO_HALF) for sign in ("=", "<>", "<", "<=", ">", ">=")),
    *(case(f"dec256 {sign} 1", duckdb=WIDE) for sign in ("=", "<>", "<", "<=", ">", ">=")),
    case("f16 IN (1.5, 3)", duckdb=NO_HALF),
    case("f16 + 1 > 2", duckdb=NO_HALF),
    case("i64 = 9007199254740993"),
    case("u64 = 18446744073709551615"),
    case("u64 > 9223372036854775808"),
    case("i32 = -1"),
    case("i32 > - 3"),
    case("1 < i32"),
    case("i32 = 1 + 0"),
    case("i8 > 300", pylance=REFUSED),
    case("u8 = -1", pylance=REFUSED),
    case("u64 > -1", pylance=REFUSED),
    case("u64 = 18446744073709551616", pylance=REFUSED),
    case("u64 < 18446744073709551615.5", pylance=REFUSED),
    case("i64 = 9007199254740992.0", pylance=REFUSED),
    case("i64 < 9007199254740993.5", pylance=REFUSED),
    case("i64 IN (9007199254740993.0, 1.5)", pylance=REFUSED),
    case("i64 >= -9223372036854775808", pylance="reads the lowest integer as floating point, and refuses it"),
    case("f64 < 99999999999999999999999"),
    case("i16 = 1.0", pylance=REFUSED),
    case("NULL = NULL"),
    case("n = 1", pylance=REFUSED, duckdb="has no null type"),
    case("n IN (1, NULL)", pylance=REFUSED, duckdb="has no null type"),
    case("i32 > 1.5", pylance=REFUSED),
    case("i32 < 1e300", pylance=REFUSED),
    case("dec > 1.5", pylance=REFUSED),
    case("dec = 1.5", pylance=REFUSED),
    case("dec > 1.505", pylance=REFUSED),
    case("f64 > 1.5"),
    case("f64 = 0.1"),
    case(
        "f32 = 0.1",
        pylance="compares NOT (f32 = 0.1) as float64, unlike f32 <> 0.1: an inconsistency of its own",
    ),
    case("f32 > i64"),
    case("i32 = i64"),
    case("i32 > f64"),
    case("u64 > i64"),
    case("i8 > u8"),
    case("f32 = f64"),
    case("f64 = g"),
    case("f64 < g"),
    case("f64 <= g"),
    case("f64 > g"),
    case("f64 >= g"),
    case("f64 <> g"),
    case("f64 = CAST('nan' AS DOUBLE)"),
    case("f64 IN (1.5, 0.1)"),
    case("g NOT IN (0.5, 0.1)"),
    case("dec = i32"),
    case("dec >= dec"),
]
TEXTS = [
    *(
        case(f"{name} {sign} 'abc'")
        for name in ("s", "ls", "dict")
        for sign in ("=", "<>", "<", "<=", ">", ">=")
    ),
    case('s = "abc"', in_duckdb="s = 'abc'"),
    case("s = 'it''s'"),
    case("s = ''"),
    case("s = ls"),
    case("s = t"),
    case("s < t"),
    case("s = dict"),
    case("s LIKE 'a%'"),
    case("s LIKE '%c'"),
    case("s LIKE '%b%'"),
    case("s LIKE 'abc'"),
    case("s LIKE ''"),
    case("s LIKE '%'"),
    case("s LIKE 'a_c'"),
    case("s LIKE '___'"),
    case("s LIKE 'S%x'"),
    case("s LIKE '%\n%'"),
    case("s LIKE '%.%'"),
    case(r"s LIKE '%\%'", in_duckdb=r"s LIKE '%\%' ESCAPE '\'"),
    case(r"s LIKE '%\_x'", in_duckdb=r"s LIKE '%\_x' ESCAPE '\'"),
    case("s NOT LIKE 'a%'"),
    case("s LIKE NULL"),
    case("ls LIKE 'A%'"),
    case("dict LIKE 'x%'"),
    case("s ILIKE 'AB%'"),
    case("s ILIKE 'aBc_'"),
    case("s NOT ILIKE '%C%'"),
    case("s || 'x' = 'abcx'"),
    case("s || t = 'abcabc'"),
    case("s || i32 = 'abc1'"),
    case("s || NULL = 'x'"),
    case("s BETWEEN 'A' AND 'b'"),
    case("s IN ('abc', '')"),
    case("s NOT IN ('abc', NULL)"),
    case("dict IN ('x')"),
]
LOGIC = [
    case("b"),
    case("NOT b"),
    case("NOT NOT b"),
    *(
        case(f"{left} {sign} {right}")
        for sign in ("AND", "OR")
        for left in ("b", "c", "NOT b")
        for right in ("c", "NULL", "TRUE")
    ),
    case("b = TRUE"),
    case("b = c"),
    case("b > FALSE"),
    case("b IS TRUE"),
    case("b IS NOT TRUE"),
    case("b IS FALSE"),
    case("b IS NOT FALSE"),
    case("b IS NULL"),
    case("b IS NOT NULL"),
    case("b IS UNKNOWN", pylance=NO_SYNTAX, in_duckdb="b IS NULL"),
    case("b IS DISTINCT FROM c"),
    case("b IS NOT DISTINCT FROM c"),
    case("i32 IS DISTINCT FROM 1"),
    case("i32 IS NOT DISTINCT FROM NULL"),
    case("f64 IS DISTINCT FROM g"),
    case("s IS NOT DISTINCT FROM t"),
    case("i32 > 0 = b", in_duckdb="(i32 > 0) = b"),
    case("b = c IS NULL"),
    case("NOT i32 = 1 AND b"),
    case("i32 > 0 AND (b OR s = 'abc')"),
    case("i32 = 1 OR i32 = 7 AND c"),
    case("st IS NULL"),
    case("l IS NOT NULL"),
    case("n IS NULL", duckdb="has no null type"),
    case("TRUE"),
    case("1 = 1"),
    case("NULL IS NULL"),
]
RANGES = [
    case("i32 BETWEEN 1 AND 3"),
    case("i32 NOT BETWEEN 1 AND 3"),
    case("i32 BETWEEN 3 AND 1"),
    case("i32 BETWEEN NULL AND 3"),
    case("i32 NOT BETWEEN NULL AND 3"),
    case("i32 BETWEEN 0.5 AND 2", pylance=REFUSED),
    case("f64 BETWEEN 0 AND 2"),
    case("i32 BETWEEN i8 AND i64"),
    case("i32 IN (1)"),
    case("i32 IN (1, 7, 1)"),
    case("i32 IN (1, NULL)"),
    case("i32 NOT IN (1, 7)"),
    case("i32 NOT IN (1, NULL)"),
    case("i32 IN (NULL)"),
    case("i32 IN (1, i64)"),
    case("i32 IN (1 + 0, -3)"),
    case("i32 IN (1.0, 2.5)", pylance=REFUSED),
    case("u8 IN (1, 300)", pylance=REFUSED),
    case("1 IN (i32, 2)"),
    case("i32 + 1 IN (2, 8)"),
    case("dec IN (1, 7)"),
    case("dec IN (1.5, 7.25)", pylance=REFUSED),
    case(f"i64 IN ({', '.join(map(str, range(-50, 50)))})"),
    case(f"s NOT IN ({', '.join(repr(chr(97 + i % 26) + 'bc') for i in range(60))})"),
    case("d IN (DATE '2020-01-01', DATE '2020-02-29')"),
    case("ts IN (TIMESTAMP '2020-01-01 01:02:03')"),
    case("bin IN (x'616263')", in_duckdb="bin IN ('abc'::BLOB)"),
    case("b IN (TRUE, NULL)"),
]
TIMES = [
    *(case(f"d {sign} DATE '2020-01-01'") for sign in ("=", "<>", "<", "<=", ">", ">=")),
    *(case(f"ts {sign} TIMESTAMP '2020-01-01 01:02:03'") for sign in ("=", "<>", "<", "<=", ">", ">=")),
    case("ts = TIMESTAMP '2020-01-01T01:02:03Z'"),
    case("ts > DATE '2020-01-01'"),
    case("d < TIMESTAMP '2020-01-01 10:00:00'"),
    case("d64 = DATE '2020-01-01'"),
    case("d64 = d"),
    case("d < ts"),
    case("tsn = TIMESTAMP '2020-01-01 01:02:03'"),
    case("tsn = ts"),
    case("tss = TIMESTAMP '2020-01-01 01:02:03'"),
    case(
        "tss < TIMESTAMP '2020-01-01 01:02:03.9'",
        pylance="cuts the constant to the column's seconds: a fault",
    ),
    case("tsz = TIMESTAMP '2020-01-01 01:02:03'"),
    case("tsp = TIMESTAMP '2020-01-01 02:02:03'", duckdb="its session's zone counts, not the column's"),
    case("tsz = tsp"),
    case("tsz = ts"),
    case("d = '2020-01-01'", pylance=REFUSED),
    case("ts > '2020-01-01'", pylance=REFUSED),
    case("ts = '2020-01-01 01:02:03'", pylance=REFUSED),
    case("tsz = '2020-01-01 01:02:03Z'", pylance=REFUSED),
    case("t32 = '00:00:01'", pylance=REFUSED),
    case("t64 < '00:00:00.000004'", pylance=REFUSED),
    case("t32 > t64", pylance="cannot compare times of two units"),
    case("dur >= dur"),
    case("d BETWEEN DATE '2020-01-01' AND DATE '2020-12-31'"),
    case("d - d = 0"),
]
ARITHMETIC = [
    case("i32 + 1 > 2"),
    case("i32 - 1 - 1 = 5"),
    case("2 + 3 * i32 = 5"),
    case("i32 / 2 = 3", in_duckdb="i32 // 2 = 3"),
    case("i32 / 2 = -1", in_duckdb="i32 // 2 = -1"),
    case("i32 / 2.0 = 0.5"),
    case("i32 % 2 = 1"),
    case("i32 % -2 = -1"),
    case("f64 % 1 = 0.5"),
    case("-i32 > 0"),
    case("- - i32 > 0"),
    case("-f64 < 0", pylance="takes NaN with a sign as the least number, not the greatest"),
    case("-dec < 0"),
    case("u8 - 5 < 0"),
    case("u8 + i8 > 10"),
    case("u64 + i64 > 10"),
    case("f32 + 1.5 > 2"),
    case("f64 / 0 > 1"),
    case("f64 * f32 > 0"),
    case("dec + 1 > 2"),
    case("dec * dec > 9"),
    case("dec - i32 = 0.25"),
    case("dec + f64 > 2"),
    case("dec / 2 = 0.75"),
    case("ts - ts = ts - ts"),
    case("(i32 + 1) * 2 = 4"),
    case("st.a + 1 = 2"),
    case(
        "i32 <> 0 AND 7 / i32 = 7",
        pylance="divides where the other side has excluded it already",
        in_duckdb="i32 <> 0 AND TRY(7 // i32) = 7",
    ),
]
CASTS = [
    case("CAST(i32 AS STRING) = '7'"),
    case("CAST(i32 AS BIGINT) > 1"),
    case("i32::BIGINT = 7"),
    case("i32::string = '-3'"),
    case(
        "CAST(dec AS INT) = 1",
        pylance="compares without the cast, so 1.50 is not 1: a fault",
        duckdb="rounds",
    ),
    case("CAST(dec AS DOUBLE) > 1.4"),
    case("CAST(g / 2 AS FLOAT) > 0.5"),
    case("CAST(i32 AS BOOLEAN)"),
    case("CAST(b AS INT) = 1"),
    case("CAST(b AS STRING) = 'true'"),
    case("CAST(i32 AS DECIMAL(10, 2)) = 7"),
    case("CAST(ts AS DATE) = DATE '2020-01-01'"),
    case("CAST(d AS TIMESTAMP) = TIMESTAMP '2020-01-01 00:00:00'"),
    case("CAST(d AS STRING) = '2020-01-01'"),
    case("CAST(dec AS STRING) = '1.50'"),
    case("TRY_CAST(s AS INT) = 1"),
    case(
        "TRY_CAST(i64 AS TINYINT) = 1",
        pylance="compares without the cast, so what is null becomes false: a fault",
    ),
    case("TRY_CAST('x' AS INT) IS NULL"),
    case("CAST('12' AS INT) = 12"),
    case("CAST('+5' AS INT) = 5"),
    case("CAST('1e2' AS DOUBLE) = 100"),
    case("CAST('yes' AS BOOLEAN)"),
    case("CAST('2020-01-01' AS TIMESTAMP) <= ts"),
    case("CAST(1.5 AS INT) = 1", duckdb="rounds"),
    case("CAST(s AS BINARY) = x'616263'", in_duckdb="s = 'abc'"),
    case("CAST(i8 AS SMALLINT) = 7"),
    case("CAST(u8 AS INT UNSIGNED) = 255", in_duckdb="u8::UINTEGER = 255"),
]
BYTES = [
    case("bin = x'616263'", in_duckdb="bin = 'abc'::BLOB"),
    case("bin > X'61'", in_duckdb="bin > 'a'::BLOB"),
    case("bin = 0xff", in_duckdb="bin = '\\xFF'::BLOB"),
    case("fsb = x'616263'", duckdb="reads fixed-size binary as text of hexadecimals in this release"),
    case("fsb > x'61'", pylance=REFUSED, duckdb="as above"),
]
NAMES = [
    case("cap > 1"),
    case("CAP > 1"),
    case("`Cap` > 1", in_duckdb='"Cap" > 1'),
    case("`odd name` > 1", in_duckdb='"odd name" > 1'),
    case("I32 > 1"),
    case("st.a > 1"),
    case("ST.a > 1"),
    case("st['a'] > 1"),
    case('st["a"] > 1', in_duckdb="st.a > 1"),
    case("st.B.c = 'q'"),
    case("`st`.`B`.`c` = 'q'", in_duckdb="st.B.c = 'q'"),
    case("st['B']['c'] = 'q'"),
    case("st.a IS NULL"),
    case("st.B.c IS NULL"),
    case("l[1] = 1"),
    case("l[-1] = 3"),
    case("l[0] IS NULL"),
    case("l[9] IS NULL"),
    case("l[i32] = 1"),
    case("fsl[2] > 2"),
]
NO_FUNCTION = "parses this function apart and refuses it"
FUNCTION_CASES = {
    "abs": [case("abs(i32) = 3"), case("abs(f64) > 2"), case("abs(dec) = 3"), case("abs(u8) = 3")],
    "array_has": [case("array_has(l, 1)"), case("array_has(l, i32)"), case("array_has(fsl, 2)")],
    "array_length": [case("array_length(l) = 2"), case("array_length(fsl) = 2")],
    "btrim": [
        case("btrim(s || ' ') = 'abc'", in_duckdb="trim(s || ' ') = 'abc'"),
        case("btrim(s, 'ax') = 'bc'", in_duckdb="trim(s, 'ax') = 'bc'"),
    ],
    "ceil": [case("ceil(f64) = 2", pylance=NO_FUNCTION), case("ceil(i32) = 7", pylance=NO_FUNCTION)],
    "char_length": [
        case("char_length(s) = 3", in_duckdb="length(s) = 3"),
        case("char_length(s) > 4", in_duckdb="length(s) > 4"),
    ],
    "coalesce": [
        case("coalesce(i32, 0) = 0"),
        case("coalesce(s, t, '') = 'x'"),
        case("coalesce(NULL, f64, i32) > 1"),
        case("coalesce(b, c)"),
    ],
    "concat": [case("concat(s, t) = 'x'"), case("concat(s, 'x', t) = 'abcxabc'")],
    "contains": [case("contains(s, 'b')"), case("contains(s, '')"), case("contains(s, NULL)")],
    "date_part": [
        *(
            case(f"date_part('{part}', ts) = {value}")
            for part, value in [
                ("year", 2020),
                ("quarter", 2),
                ("month", 2),
                ("week", 1),
                ("day", 31),
                ("doy", 60),
                ("dow", 0),
                ("isodow", 7),
                ("hour", 12),
                ("minute", 2),
            ]
        ),
        case("date_part('second', ts) = 3"),
        case("date_part('year', d) = 2020"),
        case("date_part('hour', tsp) = 2", duckdb="its session's zone counts, not the column's"),
    ],
    "ends_with": [case("ends_with(s, 'c')"), case("ends_with(s, '')")],
    "exp": [case("exp(f64) > 4")],
    "floor": [case("floor(f64) = -3", pylance=NO_FUNCTION)],
    "is_valid": [case("is_valid(i32)", in_duckdb="i32 IS NOT NULL")],
    "isnan": [case("isnan(f64)"), case("isnan(f32)"), case("isnan(i32)")],
    "left": [case("left(s, 2) = 'ab'"), case("left(s, -1) = 'ab'"), case("left(s, 0) = ''")],
    "ln": [case("ln(g) > 0")],
    "log10": [case("log10(g) < 0"), case("log(g) < 0")],
    "log2": [case("log2(g) = 1")],
    "lower": [
        case("lower(s) = 'abc%'"),
        case("lower(s) = 'straße\n_x'"),
        case("lower(ls) = 'abc'"),
        case("lower(dict) = 'x'"),
    ],
    "ltrim": [case("ltrim(' ' || s) = 'abc'"), case("ltrim(s, 'ab') = 'c'")],
    "nullif": [case("nullif(i32, 1) IS NULL"), case("nullif(s, 'abc') = ''")],
    "octet_length": [case("octet_length(s) = 10", in_duckdb="strlen(s) = 10")],
    "power": [case("power(i32, 2) = 9"), case("pow(f64, 2) > 2")],
    "regexp_like": [
        case("regexp_like(s, 'a.c')", in_duckdb="regexp_matches(s, 'a.c')"),
        case("regexp_like(s, 'A.C', 'i')", in_duckdb="regexp_matches(s, 'A.C', 'i')"),
        case("regexp_like(s, '^$')", in_duckdb="regexp_matches(s, '^$')"),
    ],
    "replace": [case("replace(s, 'b', 'x') = 'axc'")],
    "reverse": [case("reverse(s) = 'cba'")],
    "right": [case("right(s, 2) = 'bc'"), case("right(s, -1) = 'bc'"), case("right(s, 0) = ''")],
    "round": [case("round(f64) = -3"), case("round(f64) = 2"), case("round(i32) = 7")],
    "rtrim": [case("rtrim(s || ' ') = 'abc'"), case("rtrim(s, 'c') = 'ab'")],
    "sqrt": [case("sqrt(g) > 1"), case("isnan(sqrt(f64))")],
    "starts_with": [case("starts_with(s, 'a')"), case("starts_with(s, '')")],
    "substr": [
        case("substr(s, 2) = 'bc'", pylance=NO_FUNCTION),
        case("substring(s, 2, 1) = 'b'", pylance=NO_FUNCTION),
    ],
    "trunc": [case("trunc(f64) = -2")],
    "upper": [case("upper(s) = 'ABC'"), case("upper(s) = 'STRASSE\n_X'", duckdb="keeps ß")],
}
OTHER_SYNTAX = [
    case("EXTRACT(YEAR FROM d) = 2020", pylance=NO_FUNCTION),
    case("extract(month from ts) = 2", pylance=NO_FUNCTION),
    case("CASE WHEN i32 > 1 THEN 'a' WHEN i32 < 0 THEN 'b' ELSE 'c' END = 'c'", pylance=NO_SYNTAX),
    case("CASE WHEN i32 > 1 THEN TRUE END", pylance=NO_SYNTAX),
    case("CASE i32 WHEN 1 THEN s ELSE t END = 'abc'", pylance=NO_SYNTAX),
    case("CASE WHEN b THEN 1 ELSE 1.5 END = 1.5", pylance=NO_SYNTAX),
    case(
        "CASE WHEN i32 = 0 THEN 0 ELSE 7 / i32 END = 7",
        pylance=NO_SYNTAX,
        in_duckdb="CASE WHEN i32 = 0 THEN 0 ELSE 7 // i32 END = 7",
    ),
]
CASES = [
    *COMPARISONS, *CONSTANTS, *TEXTS, *LOGIC, *RANGES, *TIMES, *ARITHMETIC, *CASTS, *BYTES, *NAMES,
    *(one for cases in FUNCTION_CASES.values() for one in cases), *OTHER_SYNTAX,
]  # fmt: skip
TEXTS_ASKED = [form.format(one.text) for one in CASES for form in FORMS]


@pytest.fixture(scope="module")
def pylance() -> dict[str, list[int] | str]:
    return dict(zip(TEXTS_ASKED, by_pylance(TEXTS_ASKED)[0], strict=True))


@pytest.fixture(scope="module")
def duckdb() -> dict[str, list[int] | str]:
    asked = [form.format(one.in_duckdb or one.text) for one in CASES for form in FORMS]
    return dict(zip(TEXTS_ASKED, by_duckdb(asked), strict=True))


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.text[:60])
def test_pylance_answers_the_same(one: Case, pylance: dict[str, list[int] | str]) -> None:
    texts = [form.format(one.text) for form in FORMS]
    ours, theirs = [by_us(text) for text in texts], [pylance[text] for text in texts]
    if one.pylance:
        assert ours != theirs, "this difference is gone"
    else:
        assert ours == theirs


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.text[:60])
def test_duckdb_answers_the_same(one: Case, duckdb: dict[str, list[int] | str]) -> None:
    texts = [form.format(one.text) for form in FORMS]
    ours, theirs = [by_us(text) for text in texts], [duckdb[text] for text in texts]
    if one.duckdb:
        assert ours != theirs, "this difference is gone"
    else:
        assert ours == theirs


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.text[:60])
def test_a_condition_is_true_false_or_null(one: Case) -> None:
    rows = sorted(row for form in FORMS for row in by_us(form.format(one.text)))
    assert rows == list(range(TABLE.num_rows))


def test_every_function_is_compared() -> None:
    assert set(FUNCTION_CASES) == set(FUNCTIONS)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_is_the_same_function(alias: str, name: str) -> None:
    texts = [one.text for one in FUNCTION_CASES[name] if f"{name}(" in one.text]
    assert texts
    assert [by_us(text.replace(f"{name}(", f"{alias.upper()}(")) for text in texts] == [
        by_us(text) for text in texts
    ]
