"""lancelet and pylance take turns on one dataset: each reads and continues what the other made; every version stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import lancelet
from oracle.client import RELEASES, Oracle, oracle

if TYPE_CHECKING:
    from pathlib import Path

ROWS = pa.table(
    {
        "a": [1, 2, None, 7],
        "s": ["x", "y", None, "z"],
        "st": [{"x": 1, "y": "p"}, None, {"x": None, "y": "q"}, {"x": 4, "y": None}],
        "l": [[1], [], None, [2, None]],
    }
)
#: Version 2.0 has no null structs.
ROWS_20 = ROWS.set_column(2, "st", pa.array([{"x": number, "y": "p"} for number in range(4)]))

READ = "result = lance.dataset(root, version=version).to_table(with_row_id=True, with_row_address=True)"


class Table:
    """A dataset that both sides look at after every step."""

    def __init__(self, root: str, reference: Oracle) -> None:
        self.root = root
        self.reference = reference
        self.seen: dict[int, pa.Table] = {}

    def theirs(self, code: str, **values: object) -> None:
        """Let pylance do something to ``ds``, and compare."""
        self.reference.run(f"ds = lance.dataset(root)\n{code}", root=self.root, **values)
        self.check()

    def ours(self) -> lancelet.Dataset:
        return lancelet.dataset(self.root)

    def check(self) -> None:
        """Compare all versions with what pylance reads, and with what they were."""
        latest = self.ours()
        latest.validate(read_data=True)
        self.reference.run("lance.dataset(root).validate()", root=self.root)
        for version in range(1, latest.version + 1):
            found = latest.checkout_version(version).to_table(with_row_id=True, with_row_address=True)
            if version in self.seen:
                assert found == self.seen[version]
                continue
            expected = self.reference.run(READ, root=self.root, version=version)
            assert found.schema == expected.schema
            assert found.to_pylist() == expected.to_pylist()
            self.seen[version] = found


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("storage", ["2.0", "2.1", "2.2"])
@pytest.mark.parametrize("release", RELEASES)
def test_taking_turns(release: str, storage: str, stable: bool, tmp_path: Path) -> None:
    rows = ROWS_20 if storage == "2.0" else ROWS
    table = Table(str(tmp_path / "dataset"), oracle(release))
    ds = lancelet.write_dataset(
        rows,
        table.root,
        data_storage_version=storage,
        enable_stable_row_ids=stable,
        enable_v2_manifest_paths=not stable,
        max_rows_per_file=3,
    )
    table.check()
    ds.insert(rows.select(["a", "l", "st"] if storage == "2.0" else ["a", "l"]))
    table.theirs("ds.delete('a = 2'); ds.insert(rows)", rows=rows)
    for change in (
        lambda ds: ds.add_columns(lambda batch: {"f": pa.array(range(batch.num_rows), pa.int16())}),
        lambda ds: ds.add_columns(pa.field("nulls", pa.float32())),
        lambda ds: ds.delete("s = 'x'"),
    ):
        change(table.ours())
        table.check()
    table.theirs("ds.add_columns({'g': 'a * 2'}); ds.alter_columns({'path': 's', 'name': 'text'})")
    for change in (
        lambda ds: ds.alter_columns(
            {"path": "f", "data_type": pa.int64()}, {"path": "st.x", "name": "number"}
        ),
        lambda ds: ds.alter_columns({"path": "st.number", "data_type": pa.int64()}),
        lambda ds: ds.drop_columns(["st.y"]),
        lambda ds: ds.drop_columns(["nulls"]),
    ):
        change(table.ours())
        table.check()
    table.theirs("ds.optimize.compact_files(); ds.insert(ds.head(2))")
    table.ours().insert(table.ours().head(1))
    table.check()
    _with_an_index(table)
    table.ours().checkout_version(3).restore()
    table.check()
    table.theirs("ds.checkout_version(2).restore()")


def _with_an_index(table: Table) -> None:
    """Rows come and go beside an index; pylance finds them with its help, and brings it up to date."""
    table.theirs("ds.create_scalar_index('a', 'BTREE')")
    table.ours().insert(table.ours().head(1))
    table.ours().delete("a = 7")
    table.check()
    counted = "ds = lance.dataset(root)\nresult = [ds.count_rows(filter=f'a = {a}') for a in (1, 7)]"
    expected = [table.ours().count_rows(f"a = {a}") for a in (1, 7)]
    assert table.reference.run(counted, root=table.root) == expected
    assert expected[1] == 0
    table.theirs("ds.optimize.optimize_indices()")
    assert table.reference.run(counted, root=table.root) == expected
    (index,) = table.ours().list_indices()
    assert index["fields"] == ["a"]
    with pytest.raises(lancelet.UnsupportedError, match="index 'a_idx' covers a column that would go"):
        table.ours().drop_columns(["a"])
    table.ours().drop_index("a_idx")
    assert table.ours().list_indices() == []
    table.check()
