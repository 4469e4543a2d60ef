"""Transactions: what pylance wrote comes back byte for byte in meaning, what is damaged is refused."""

from __future__ import annotations

import pickle
import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb import table_pb2, transaction_pb2
from lancelet.schema.fields import Schema
from lancelet.table.formats.metadata import DataFile, DeletionFile, FragmentMetadata
from lancelet.table.formats.operations import (
    Append,
    CreateIndex,
    DataReplacement,
    Delete,
    MapUpdate,
    Merge,
    Operation,
    Overwrite,
    Project,
    ReserveFragments,
    Restore,
    Rewrite,
    RewriteGroup,
    Unknown,
    Update,
    UpdateConfig,
)
from lancelet.table.formats.transaction import Transaction

if TYPE_CHECKING:
    from pathlib import Path

FILE = DataFile("a.lance", (0, 1), (0, 1), 2, 1, 100)
FRAGMENT = FragmentMetadata(3, (FILE,), 10, DeletionFile("array", 2, 99, 4))
STABLE = FragmentMetadata(4, (FILE,), 3, None, b"\x0a\x04\x0a\x02\x10\x03", b"x", b"y")
TABLE = pa.schema(
    [pa.field("a", pa.int64(), nullable=False), ("s", pa.struct([("x", pa.string())]))], {"k": "v"}
)
SCHEMA = Schema.from_arrow(TABLE)
INDEX = table_pb2.IndexMetadata(uuid=table_pb2.UUID(uuid=bytes(16)), fields=[1], name="i", dataset_version=3)
REWRITTEN = transaction_pb2.Transaction.Rewrite.RewrittenIndex(old_id=table_pb2.UUID(uuid=bytes(16)))
OPERATIONS: list[Operation] = [
    Append(()),
    Append((FRAGMENT, STABLE)),
    Delete((FRAGMENT,), (1, 2**40), "a > 'ü'"),
    Overwrite(SCHEMA, (FRAGMENT,), {"lance.x": "1"}),
    CreateIndex((INDEX,), (INDEX,)),
    Rewrite((RewriteGroup((FRAGMENT,), (STABLE, STABLE)), RewriteGroup((), ())), (REWRITTEN,)),
    Merge((FRAGMENT,), SCHEMA, True),
    Restore(0),
    Restore(2**64 - 1),
    ReserveFragments(0),
    ReserveFragments(7),
    Update((1,), (FRAGMENT,), (STABLE,), (0, 1), (2,), "columns"),
    Update(),
    Project(Schema(SCHEMA.fields), True),
    UpdateConfig(),
    UpdateConfig(
        MapUpdate({"a": "1", "b": None}),
        MapUpdate({}, replace=True),
        MapUpdate({"": ""}),
        {0: MapUpdate({"x": None}), 1: MapUpdate({})},
    ),
    DataReplacement(((3, FILE),)),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: type(operation).__name__)
def test_every_operation_comes_back(operation: Operation) -> None:
    transaction = Transaction(5, operation, properties={"message": "why"})
    data = transaction.serialize()
    assert Transaction.parse(data) == transaction
    assert Transaction.parse(memoryview(data)) == transaction
    assert pickle.loads(pickle.dumps(transaction)) == transaction
    assert pickle.loads(pickle.dumps(transaction)).serialize() == data


def test_transactions_of_pylance_come_back(golden_root: Path) -> None:
    paths = sorted((golden_root / "datasets").rglob("*.txn"))
    assert paths
    kinds = set()
    for path in paths:
        stored = transaction_pb2.Transaction.FromString(path.read_bytes())
        transaction = Transaction.from_message(stored)
        assert transaction.to_message() == stored, path
        kinds.add(type(transaction.operation))
    assert {Append, Overwrite, Delete, Rewrite, Merge, Project, Restore, Update, UpdateConfig} <= kinds


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: type(operation).__name__)
def test_damaged_transactions_are_refused_or_read(operation: Operation) -> None:
    data = Transaction(5, operation).serialize()
    generator = random.Random(7)
    damaged = [data[:size] for size in range(len(data))]
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(generator.randint(1, 3)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        damaged.append(bytes(changed))
    refused = 0
    for sample in damaged:
        try:
            found = Transaction.parse(sample)
        except (FormatError, UnsupportedError):
            refused += 1
        else:
            assert isinstance(found, Transaction)
    assert refused > 50


@pytest.mark.parametrize("number", [112, 113, 114, 115, 116, 117, 1000])
def test_operations_of_later_releases_are_unknown(number: int) -> None:
    head = Transaction(1, Restore(1)).to_message()
    head.ClearField("operation")
    tag = number << 3 | 2
    key = bytes([tag & 127 | 128, tag >> 7]) if tag < 1 << 14 else b""
    found = Transaction.parse(head.SerializeToString() + key + b"\x02\x08\x01")
    assert isinstance(found.operation, Unknown)
    with pytest.raises(OptionError, match="cannot be written"):
        found.serialize()


def test_config_updates_of_old_form_are_unknown() -> None:
    stored = Transaction(1, UpdateConfig()).to_message()
    stored.update_config.MergeFromString(b"\x0a\x06\x0a\x01a\x12\x01b")  # field 1: upsert_values {a: b}
    assert isinstance(Transaction.parse(stored.SerializeToString()).operation, Unknown)


def test_update_modes_of_later_releases_are_unknown() -> None:
    stored = Transaction(1, Update()).to_message()
    stored.update.MergeFromString(b"\x38\x05")
    assert isinstance(Transaction.parse(stored.SerializeToString()).operation, Unknown)


@pytest.mark.parametrize("uuid", ["", "x", "../../etc", "0" * 32, "{00000000-0000-0000-0000-000000000000}"])
def test_a_transaction_has_a_uuid(uuid: str) -> None:
    with pytest.raises(OptionError, match="uuid"):
        Transaction(1, Append(()), uuid)
    message = transaction_pb2.Transaction(read_version=1, uuid=uuid)
    message.append.SetInParent()
    with pytest.raises(FormatError, match="uuid"):
        Transaction.from_message(message)


@pytest.mark.parametrize("version", [-1, 2**64, True])
def test_a_transaction_reads_a_version(version: int) -> None:
    with pytest.raises(OptionError, match="version"):
        Transaction(version, Append(()))


@pytest.mark.parametrize(
    "operation",
    [
        Restore(-1),
        ReserveFragments(2**32),
        Delete((), (-1,)),
        Delete((), (), "\ud800"),
        Overwrite(SCHEMA, (), {"a": 1}),  # type: ignore[dict-item]
        UpdateConfig(field_metadata={2**31: MapUpdate({})}),
        Append((FragmentMetadata(-1, ()),)),
        Append(None),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_stored_is_refused(operation: Operation) -> None:
    with pytest.raises(OptionError, match="cannot be stored"):
        Transaction(1, operation).serialize()
