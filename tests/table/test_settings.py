"""Settings, notes and metadata of a dataset, and what its versions say of themselves; pylance reads the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import lancelet
from oracle.client import RELEASES, oracle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("release", RELEASES)
def test_settings_and_metadata(release: str, tmp_path: Path) -> None:
    schema = pa.schema(
        [pa.field("a", pa.int64(), metadata={"unit": "m"}), pa.field("s", pa.struct([("x", pa.int8())]))],
        metadata={"origin": "here"},
    )
    root = str(tmp_path / "dataset")
    rows = pa.table({"a": [1], "s": [{"x": 2}]}, schema=schema)
    ds = lancelet.write_dataset(rows, root, commit_message="the first", transaction_properties={"by": "me"})
    assert ds.update_config({"k": "1", "l": "2", "m": "3"}) == {"k": "1", "l": "2", "m": "3"}
    ds.delete_config_keys(["k", "l"])
    assert ds.config() == {"m": "3"}
    ds.update_metadata({"owner": "us"})
    ds.update_schema_metadata({"origin": None, "more": "yes"})
    ds.update_field_metadata({"s.x": {"unit": "kg"}})
    ds.replace_field_metadata("a", {"only": "this"})
    code = """
ds = lance.dataset(root)
result = ds.config(), ds.schema, ds.to_table()
"""
    config, theirs, table = oracle(release).run(code, root=root)
    assert config == {"m": "3"}
    assert theirs.metadata == ds.schema.metadata == {b"more": b"yes"}
    assert theirs.field("a").metadata == ds.schema.field("a").metadata == {b"only": b"this"}
    assert theirs.field("s").type.field("x").metadata == ds.schema.field("s").type.field("x").metadata
    assert ds.schema.field("s").type.field("x").metadata == {b"unit": b"kg"}
    assert table.to_pylist() == ds.to_table().to_pylist() == rows.to_pylist()
    ds.replace_schema_metadata({"new": "all"})
    assert ds.schema_metadata == {"new": "all"}
    assert ds.metadata == {"owner": "us"}


def test_versions_say_what_made_them(tmp_path: Path) -> None:
    ds = lancelet.write_dataset({"a": [1, 2]}, tmp_path / "d", commit_message="the first")
    ds.delete("a = 1")
    ds.insert({"a": [3]}, transaction_properties={"by": "me"})
    newest = ds.get_transactions(2)
    assert [type(found.operation).__name__ for found in newest if found] == ["Append", "Delete"]
    assert newest[0] == ds.read_transaction(3)
    assert newest[0].properties == {"by": "me"}
    first = ds.read_transaction(1)
    assert first.properties == {"__lance_commit_message": "the first"}
    assert len(ds.checkout_version(2).get_transactions()) == 2
    with pytest.raises(FileNotFoundError, match="no version 9"):
        ds.read_transaction(9)
    scanner = ds.scanner(columns=["a"])
    assert scanner.projected_schema == scanner.dataset_schema == ds.schema
