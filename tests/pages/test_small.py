from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest

from lancelet.file.writer import FileWriter
from lancelet.pages import choose


def columns(num_rows):
    rng = np.random.default_rng(num_rows)
    nulls = rng.random(num_rows) < 0.1
    words = pa.array([f"v{i}" for i in range(max(num_rows // 6, 1))])
    return {
        "int": pa.array(rng.integers(0, 1 << 40, num_rows)),
        "short": pa.array(rng.integers(0, 100, num_rows).astype(np.uint16), mask=nulls),
        "double": pa.array(rng.random(num_rows)),
        "float": pa.array(rng.random(num_rows).astype(np.float32), mask=nulls),
        "runs": pa.array(np.arange(num_rows) // 50, mask=np.arange(num_rows) % 300 < 100),
        "bool": pa.array(rng.random(num_rows) < 0.3),
        "bits": pa.array(rng.random(num_rows) < 0.3, mask=nulls),
        "uuid": pa.array([bytes([i % 256]) * 15 for i in range(num_rows)], pa.binary(15)),
        "text": words.take(pa.array(rng.integers(0, len(words), num_rows))),
        "key": words.take(pa.array(rng.integers(0, len(words), num_rows))).dictionary_encode(),
        "holes": pa.array(np.arange(num_rows, dtype=np.int8) % 7, mask=nulls).dictionary_encode(),
    }


def written(table, **options):
    file = io.BytesIO()
    with FileWriter(file, **options) as writer:
        writer.write_table(table)
    return file.getvalue()


@pytest.mark.parametrize("num_rows", [1, 2, 9, 1000, 1024, 1025, 5000])
@pytest.mark.parametrize("profile", ["balanced", "small", "fast", "reference"])
@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_the_short_way_gives_the_bytes_of_the_general_one(monkeypatch, num_rows, profile, version):
    table = pa.table(columns(num_rows))
    parts = [table, table.slice(num_rows // 3)]
    short = [written(part, version=version, profile=profile) for part in parts]
    monkeypatch.setattr(choose, "SMALL_BYTES", -1)
    monkeypatch.setattr(choose, "_ends_differ", lambda values, seen: False)
    assert short == [written(part, version=version, profile=profile) for part in parts]


def test_a_wide_table_takes_the_short_way(monkeypatch):
    made = []

    def encode_small(*arguments, **options):
        made.append(choose_encode_small(*arguments, **options))
        return made[-1]

    choose_encode_small = choose.encode_small
    monkeypatch.setattr(choose, "encode_small", encode_small)
    plain = ("int", "short", "double", "float", "bool", "text")
    written(pa.table(columns(1000)).select(plain))
    assert len(made) == len(plain)
    assert None not in made
