"""The committed modules of ``lancelet.pb`` were made from the committed message definitions."""

from __future__ import annotations

import hashlib
import re
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def recorded(root: Path) -> dict[str, str]:
    """Path -> digest as the generator left them."""
    lines = (root / "protos" / "generated.sha256").read_text().splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def test_the_record_names_every_source_and_every_module(repository_root: Path) -> None:
    sources = (repository_root / "protos").rglob("*.proto")
    modules = (repository_root / "src" / "lancelet" / "pb").glob("*_pb2.py*")
    present = {path.relative_to(repository_root).as_posix() for path in (*sources, *modules)}
    assert set(recorded(repository_root)) == present, "run `make protos` and commit what it writes"


def test_nothing_changed_since_the_generator_ran(repository_root: Path) -> None:
    changed = [
        path
        for path, digest in recorded(repository_root).items()
        if hashlib.sha256((repository_root / path).read_bytes()).hexdigest() != digest
    ]
    assert changed == [], "run `make protos` and commit what it writes"


def test_modules_load_with_the_oldest_allowed_protobuf(repository_root: Path) -> None:
    for path in (repository_root / "src" / "lancelet" / "pb").glob("*_pb2.py"):
        (version,) = re.findall(r"^# Protobuf Python Version: (\S+)$", path.read_text(), re.MULTILINE)
        assert version == "5.29.0", path.name


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("encodings20", "lance.encodings.ArrayEncoding"),
        ("encodings20", "lance.encodings.ColumnEncoding"),
        ("encodings21", "lance.encodings21.PageLayout"),
        ("file", "lance.file.FileDescriptor"),
        ("file2", "lance.file.v2.ColumnMetadata"),
        ("rowids", "lance.table.RowIdSequence"),
        ("table", "lance.table.Manifest"),
        ("transaction", "lance.table.Transaction"),
    ],
)
def test_messages_have_the_names_that_files_mention(module: str, name: str) -> None:
    message = getattr(import_module(f"lancelet.pb.{module}_pb2"), name.rpartition(".")[2])
    assert message.DESCRIPTOR.full_name == name
