"""Environment variables, and what they do to pages."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from lancelet import ColumnOptions, FileReader, FileWriter, OptionError
from lancelet.anatomy import describe_page
from lancelet.codecs.params import CodecParams, DictionaryParams
from lancelet.options import Profile
from lancelet.versions import Version

if TYPE_CHECKING:
    from pathlib import Path

MAX_VALUES = "LANCE_MINIBLOCK_MAX_VALUES"
CHUNK = "LANCE_BINARY_MINIBLOCK_CHUNK_SIZE"
DICTIONARY = "LANCE_ENCODING_DICT_"
ROWS = 20_000
RNG = np.random.default_rng(5)
COLOURS = pa.array([f"colour {number:03d}" for number in RNG.integers(0, 300, ROWS)])


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (MAX_VALUES, CHUNK):
        monkeypatch.delenv(name, raising=False)


def resolve(version: Version = Version.V2_2, **wishes: object) -> CodecParams:
    return CodecParams.resolve(version, True, ColumnOptions(**wishes))  # type: ignore[arg-type]


def test_without_wishes_and_variables() -> None:
    params = resolve()
    assert params.limits.max_values == params.limits.target_bytes == 4096
    assert params.dictionary == DictionaryParams()
    assert params.bss == "auto"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4095", 2048), ("4096", 4096), ("1000", 512), ("2", 2), ("1", 2), ("32768", 32768)],
)
def test_most_values_of_a_chunk(text: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAX_VALUES, text)
    assert resolve().limits.max_values == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (MAX_VALUES, "many", "4096 is used"),
        (MAX_VALUES, "0", "2 is used"),
        (MAX_VALUES, "40000", "32768 is used"),
        (CHUNK, "large", "4096 is used"),
        (CHUNK, "0", "4096 is used"),
        (DICTIONARY + "TOO_SMALL", "few", "100 is used"),
        (DICTIONARY + "DIVISOR", "two", "2 is used"),
        (DICTIONARY + "MAX_CARDINALITY", "-1", "100000 is used"),
        (DICTIONARY + "SIZE_RATIO", "half", "0.8 is used"),
        (DICTIONARY + "VALUES_COMPRESSION_LEVEL", "best", "None is used"),
    ],
)
def test_bad_values_warn(name: str, text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    with pytest.warns(RuntimeWarning, match=f"{name} is .*{message}"):
        resolve()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SIZE_RATIO", "0"),
        ("SIZE_RATIO", "1.5"),
        ("VALUES_COMPRESSION", "fsst"),
        ("VALUES_COMPRESSION", "ZSTD"),
    ],
)
def test_values_that_the_format_calls_errors(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DICTIONARY + name, text)
    with pytest.raises(OptionError, match=DICTIONARY + name):
        resolve()


def test_wishes_come_before_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"DIVISOR": "7", "SIZE_RATIO": "0.1", "VALUES_COMPRESSION": "zstd"}.items():
        monkeypatch.setenv(DICTIONARY + name, text)
    monkeypatch.setenv(CHUNK, "10000")
    found = resolve(dict_divisor=3, minichunk_size=5000)
    assert (found.dictionary.divisor, found.limits.target_bytes) == (3, 5000)
    assert (found.dictionary.size_ratio, found.dictionary.values_compression) == (0.1, "zstd")
    monkeypatch.setenv(DICTIONARY + "SIZE_RATIO", "2")
    assert resolve(dict_size_ratio=0.5).dictionary.size_ratio == 0.5


@pytest.mark.parametrize("by_variable", [True, False])
def test_large_chunks_need_version_2_2(by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    wishes = {} if by_variable else {"minichunk_size": 32768}  # as it comes from field metadata
    if by_variable:
        monkeypatch.setenv(CHUNK, "32768")
    with pytest.warns(RuntimeWarning, match="need file version 2.2; 4096 is used"):
        assert resolve(Version.V2_1, **wishes).limits.target_bytes == 4096
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve(**wishes).limits.target_bytes == 32768


def test_fast_leaves_dictionaries_as_they_are() -> None:
    found = CodecParams.resolve(Version.V2_2, True, ColumnOptions(), Profile.FAST)
    assert found.dictionary.values_compression == "none"


def page_of(path: Path, array: pa.Array, version: str = "2.2") -> tuple[str, int]:
    """Return the description of the only page, and how many chunks it has."""
    with FileWriter(path, version=version) as writer:
        writer.write_table(pa.table({"column": array}))
    with FileReader(path) as reader:
        (page,) = reader.metadata()[0].pages
        assert reader.read_all().to_table()["column"].combine_chunks() == array
    return describe_page(page).values_text, page.buffers[0].size // (4 if version == "2.2" else 2)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TOO_SMALL", "30000", "fsst(variable(32))"),
        ("DIVISOR", "100", "fsst(variable(32))"),
        ("MAX_CARDINALITY", "299", "fsst(variable(32))"),
        ("SIZE_RATIO", "0.01", "fsst(variable(32))"),
        ("MAX_CARDINALITY", "2000", "dictionary(300 x lz4(variable(32))) inline_bitpacking(32)"),
        ("VALUES_COMPRESSION", "zstd", "dictionary(300 x zstd(variable(32))) inline_bitpacking(32)"),
        ("VALUES_COMPRESSION", "none", "dictionary(300 x variable(32)) inline_bitpacking(32)"),
    ],
)
def test_variables_of_dictionaries(
    name: str, text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DICTIONARY + name, text)
    assert page_of(tmp_path / "page.lance", COLOURS)[0] == expected


@pytest.mark.parametrize(
    ("text", "booleans", "bytes_"),
    [("4096", 5, 5), ("4095", 10, 10), ("1000", 40, 40)],
)
def test_chunks_have_as_many_values_as_those_of_the_reference(
    text: str, booleans: int, bytes_: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers were read from files of pylance 14.0.2."""
    monkeypatch.setenv(MAX_VALUES, text)
    flags = pa.array(RNG.random(ROWS) < 0.5)
    assert page_of(tmp_path / "flags.lance", flags) == ("flat(1)", booleans)
    numbers = pa.array(RNG.integers(0, 256, ROWS), pa.uint8())
    assert page_of(tmp_path / "numbers.lance", numbers) == ("flat(8)", bytes_)


@pytest.mark.parametrize(("most", "chunks"), [("4096", 9), ("2048", 19)])
def test_full_chunks_of_text_have_half_as_many(
    most: str, chunks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are doubled only while there are fewer than the limit (bytes are none here); the last chunk takes what is left."""
    monkeypatch.setenv(MAX_VALUES, most)
    monkeypatch.setenv(CHUNK, "1000000")
    words = pa.array([f"{number:05x}" for number in range(ROWS)], pa.binary())
    assert page_of(tmp_path / "words.lance", words)[1] == chunks


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_target_of_chunks(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pa.array([f"{number:05x}" for number in range(ROWS)], pa.binary())
    plain = page_of(tmp_path / "plain.lance", words, version)[1]
    monkeypatch.setenv(CHUNK, "16384")
    assert page_of(tmp_path / "larger.lance", words, version)[1] == plain // 4
