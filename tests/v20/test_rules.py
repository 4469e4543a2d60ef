"""The predicates of the 2.0 writer, with the truth tables that the reference's own behaviour gave."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lancelet.v20.node import Compression
from lancelet.v20.rules import (
    compression_of,
    default_dictionary_threshold,
    deserves_dictionary,
    deserves_fixed_size,
)

TEXT_TYPES = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


@pytest.mark.parametrize(
    ("values", "threshold", "expected"),
    [
        (["a", "b", "a", "b"], 3, True),  # 2 distinct of 4
        (["a", "b", "c", "d"], 3, False),  # 4 of 4
        (["a", "b", "c", "a"], 3, False),  # 3 of 4
        ([], 3, False),
        (["a", "b"], 3, False),  # too few rows
        ([None, "a", None, "b"], 3, True),  # nulls are rows and no values
        ([None] * 3, 3, True),
        (["a"] * 99, 100, False),
        (["a"] * 100, 100, True),
        ([str(i) for i in range(99)] + ["1"], 100, True),
        ([str(i) for i in range(100)], 100, False),
        ([str(i % 99) for i in range(1000)], 100, True),
        ([str(i % 100) for i in range(1000)], 100, False),
        ([None] * 150, 100, True),
        (["a"], 1, False),
        ([None], 1, True),
        (["a"], 0, False),
        ([str(i % 255) for i in range(10_000)], 10_000, True),  # indices of 8 bits: 255 items and null
        ([str(i % 256) for i in range(10_000)], 10_000, False),
        (["a"] * 256, 10_000, True),
    ],
)
def test_dictionary(values: list[str | None], threshold: int, expected: bool) -> None:
    assert deserves_dictionary(pa.array(values, pa.string()), threshold) is expected
    padded = pa.array(["x", *values, "y"], pa.string())
    assert deserves_dictionary(padded.slice(1, len(values)), threshold) is expected


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ([[]], False),
        ([["a", "b"]], True),
        ([["abc", "de"]], False),
        ([["pqr", None]], True),
        ([["pqr", ""]], False),
        ([["", ""]], False),
        ([["a", "b"], ["c", "d"]], True),
        ([["ab", "bc"], ["c", "d"]], False),
        ([["ab", None], [None, "d"]], False),
        ([["a", None], [None, "d"]], True),
        ([[""]], False),
        ([[None, None]], False),
        ([], False),
        ([[None], ["ab"], []], True),
    ],
)
@pytest.mark.parametrize("type_", TEXT_TYPES, ids=str)
def test_fixed_size(arrays: list[list[str | None]], expected: bool, type_: pa.DataType) -> None:
    assert deserves_fixed_size([pa.array(values, pa.string()).cast(type_) for values in arrays]) is expected


def test_hidden_bytes_do_not_count() -> None:
    bitmap = pa.py_buffer(b"\x05")
    hidden = pa.Array.from_buffers(
        pa.string(),
        3,
        [bitmap, pa.array([0, 1, 9, 10], pa.int32()).buffers()[1], pa.py_buffer(b"axxxxxxxxb")],
    )
    assert deserves_fixed_size([hidden])
    assert deserves_dictionary(hidden, 3)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [(None, 100), ("3", 3), ("0", 0), ("", 100), ("many", 100), ("-1", 100), ("1.5", 100)],
)
def test_threshold_of_the_environment(
    text: str | None, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LANCE_DICT_ENCODING_THRESHOLD", raising=False)
    if text is not None:
        monkeypatch.setenv("LANCE_DICT_ENCODING_THRESHOLD", text)
    assert default_dictionary_threshold() == threshold


@pytest.mark.parametrize(
    ("compression", "level", "expected"),
    [
        (None, "3", None),
        ("zstd", None, Compression("zstd")),
        ("zstd", "7", Compression("zstd", 7)),
        ("zstd", "high", Compression("zstd")),
        ("lz4", "-1", Compression("lz4", -1)),
        ("none", None, Compression("none")),
        ("fsst", None, Compression("fsst")),
    ],
)
def test_compression(compression: str | None, level: str | None, expected: Compression | None) -> None:
    pairs = {"lance-encoding:compression": compression, "lance-encoding:compression-level": level}
    assert compression_of("t", {key: text for key, text in pairs.items() if text is not None}) == expected


@pytest.mark.parametrize("compression", ["ZSTD", "gzip", ""])
def test_unknown_compression_warns(compression: str) -> None:
    with pytest.warns(UserWarning, match="field 't'"):
        assert compression_of("t", {"lance-encoding:compression": compression}) is None
