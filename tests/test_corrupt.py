"""Damaged files end in an error of lancelet or in some table, never in a crash, a hang or endless memory."""

from __future__ import annotations

import signal
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from golden_index import damaged_files, is_any_field, is_flat_field, select
from lancelet.testing import assert_tables_equal
from sandbox import Sandbox, sandbox
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

    from golden_index import DamagedFile, GoldenFile

VERSIONS = ("2.0", "2.1", "2.2")
MUTATIONS_PER_FILE = sample_or_full(20, 500)
LARGEST_MUTATED_BYTES = sample_or_full(1 << 14, 1 << 18)

FOOTER_BYTES = 40

NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    1 << 63,
    (1 << 64) - 1,
)


def base_files() -> list[DamagedFile]:
    """Return one damaged file of each base: it names the good file and its table."""
    return list({file.base: file for file in damaged_files(VERSIONS)}.values())


@pytest.mark.parametrize("file", [pytest.param(file, id=file.base) for file in base_files()])
def test_base_reads(file: DamagedFile) -> None:
    expected = pa.ipc.open_file(file.expected_path).read_all()
    assert_tables_equal(lancelet.FileReader(str(file.base_path)).read_all().to_table(), expected)


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in damaged_files(VERSIONS)])
def test_damaged_file(file: DamagedFile) -> None:
    for source in (file.path, file.path.read_bytes()):
        outcome = sandbox().read(source)
        allowed = ("refused",) if file.must_error else ("refused", "table")
        assert outcome.kind in allowed, f"{file.what}: {outcome.message}"


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in damaged_files(VERSIONS)])
def test_damaged_file_single_columns(file: DamagedFile) -> None:
    for field in pa.ipc.open_file(file.expected_path).schema:
        outcome = sandbox().read(file.path, [field.name])
        assert outcome.is_orderly, f"{file.what}, column {field.name}: {outcome.kind}: {outcome.message}"


def mutated_files() -> list[GoldenFile]:
    """Return the small files: all flat ones, and in a default run one of four of the others."""
    small = [file for file in select(VERSIONS, is_any_field) if file.num_bytes <= LARGEST_MUTATED_BYTES]
    flat = [file for file in small if all(map(is_flat_field, file.schema()))]
    others = [file for file in small if file not in flat]
    return flat + others[:: sample_or_full(4, 1)]


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in mutated_files()])
def test_mutations(file: GoldenFile) -> None:
    data = file.path.read_bytes()
    failures = []
    for index in range(MUTATIONS_PER_FILE):
        rng = np.random.default_rng([zlib.crc32(file.name.encode()), index])
        what, damaged = mutate(data, rng)
        outcome = sandbox().read(damaged)
        if not outcome.is_orderly:
            failures.append(f"mutation {index} ({what}): {outcome.kind}\n{outcome.message}")
    assert not failures, f"{len(failures)} of {MUTATIONS_PER_FILE}\n" + "\n".join(failures[:3])


def mutate(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Damage a file in one of several ways, metadata more often than data.

    Returns
    -------
    what : str
        The damage in words.
    damaged : bytes
        The whole file.
    """
    (metadata_start,) = struct.unpack_from("<Q", data, len(data) - FOOTER_BYTES)
    footer_start = len(data) - FOOTER_BYTES
    regions = {
        "data": (0, metadata_start),
        "metadata": (metadata_start, footer_start),
        "footer": (footer_start, len(data)),
    }
    region = str(rng.choice(list(regions), p=[0.4, 0.5, 0.1]))
    start, stop = regions[region]
    position = int(rng.integers(start, max(start + 1, stop)))
    damages = (flip_bits, set_byte, set_number, cut_out, insert, repeat)
    damage = damages[rng.choice(len(damages), p=[0.3, 0.3, 0.2, 0.05, 0.05, 0.1])]
    return f"{damage.__name__} at {position} of {len(data)}, {region}", damage(data, position, rng)


def flip_bits(data: bytes, position: int, rng: np.random.Generator) -> bytes:
    flipped = data[position] ^ int(rng.integers(1, 256) & rng.integers(1, 256) or 1)
    return data[:position] + bytes([flipped]) + data[position + 1 :]


def set_byte(data: bytes, position: int, rng: np.random.Generator) -> bytes:
    value = int(rng.choice([0, 1, 2, 0x0A, 0x12, 0x7F, 0x80, 0xFE, 0xFF]))
    return data[:position] + bytes([value]) + data[position + 1 :]


def set_number(data: bytes, position: int, rng: np.random.Generator) -> bytes:
    width = int(rng.choice([2, 4, 8]))
    number = NUMBERS[rng.integers(len(NUMBERS))] & ((1 << 8 * width) - 1)
    return (data[:position] + number.to_bytes(width, "little") + data[position + width :])[: len(data)]


def cut_out(data: bytes, position: int, rng: np.random.Generator) -> bytes:
    return data[:position] + data[position + int(rng.integers(1, 65)) :]


def insert(data: bytes, position: int, rng: np.random.Generator) -> bytes:
    return data[:position] + rng.bytes(int(rng.integers(1, 65))) + data[position:]


def repeat(data: bytes, position: int, rng: np.random.Generator) -> bytes:
    """Overwrite some bytes with others of the same file."""
    source = int(rng.integers(0, len(data)))
    part = data[source : source + int(rng.integers(1, 33))]
    return (data[:position] + part + data[position + len(part) :])[: len(data)]


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    digits = [number >> shift & 0x7F for shift in range(0, number.bit_length(), 7)]
    return bytes([digit | 0x80 for digit in digits[:-1]] + digits[-1:])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("value", [None, 7, "seven"], ids=["null", "number", "text"])
def test_small_file_of_a_huge_result(version: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "constant.lance"
    num_rows, claimed = 1 << 21, (1 << 28) - 1  # both take four bytes
    arrow_type = pa.string() if isinstance(value, str) else pa.int64()
    table = pa.table({"constant": pa.repeat(pa.scalar(value, arrow_type), num_rows)})
    with lancelet.FileWriter(str(path), table.schema, version=version) as writer:
        writer.write_table(table)
    outcome = sandbox().read(path.read_bytes().replace(varint(num_rows), varint(claimed)))
    assert outcome.kind == "refused", outcome.message


@pytest.mark.parametrize("is_buried", [False, True], ids=["dying", "dead"])
def test_sandbox_outlives_a_crash(is_buried: bool) -> None:
    box = Sandbox()
    good = base_files()[0].base_path
    assert box.read(b"no Lance file").kind == "refused"
    box.process.kill()
    if is_buried:  # the pipe is broken by now: the request cannot be sent, nor flushed when it is closed
        box.process.wait()
    outcome = box.read(good)
    assert outcome.kind == "crashed"
    assert "exit status -9" in outcome.message
    assert box.read(good).is_orderly
    box.close()


def test_sandbox_ends_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.TIMEOUT_SECONDS", 0.5)
    box = Sandbox()
    box.process.send_signal(signal.SIGSTOP)
    assert box.read(b"").kind == "hung"
    box.close()
