"""Random histories, changed alternately by lancelet and pylance 14.0.2: after every step both read what the model says."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from histories import History
from oracle.client import Oracle, oracle
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

NUM_STEPS = 20

READ = """
ds = lance.dataset(root)
ds.validate()
result = ds.version, ds.to_table(with_row_id=True, with_row_address=True)
"""


def check(history: History, reference: Oracle, done: list[str]) -> int:
    """Compare what both read with the model; returns the version."""
    ours = lancelet.dataset(history.root)
    version, theirs = reference.run(READ, root=history.root)
    assert ours.version == version, done
    found = ours.to_table(with_row_id=True, with_row_address=True)
    assert found.schema == theirs.schema, done
    assert found.to_pylist() == theirs.to_pylist(), done
    rows = found.drop_columns(["_rowid", "_rowaddr"])
    assert rows.schema.equals(history.model.schema()), done
    assert rows.sort_by("id").to_pylist() == history.model.table().to_pylist(), done
    ours.validate(read_data=True)
    return version


def take_part(ours: lancelet.Dataset, history: History) -> None:
    """Read rows in other ways than a scan."""
    table = ours.to_table(with_row_id=True)
    if not table.num_rows:
        return
    wanted = [history.chance.randrange(table.num_rows) for _ in range(20)]
    expected = table.take(pa.array(wanted))
    assert ours.take(wanted).to_pylist() == expected.drop_columns(["_rowid"]).to_pylist()
    assert ours.take_rows(expected["_rowid"]).to_pylist() == expected.drop_columns(["_rowid"]).to_pylist()
    bound = history.chance.randrange(history.model.next_id)
    assert ours.count_rows(f"id < {bound}") == sum(key < bound for key in history.model.rows)


@pytest.mark.parametrize("seed", range(sample_or_full(20, 200)))
def test_a_history(seed: int, tmp_path: Path) -> None:
    history = History(seed, str(tmp_path / "dataset"))
    reference = oracle("14.0.2")
    first = history.new_rows(list(history.model.columns))
    options: dict[str, Any] = {
        "data_storage_version": history.storage,
        "enable_stable_row_ids": history.stable,
        "max_rows_per_file": 50,
    }
    if seed % 2:
        lancelet.write_dataset(first, history.root, **options)
    else:
        code = "lance.write_dataset(table, root, **options)"
        reference.run(code, table=first, root=history.root, options=options)
    done = [f"{options}"]
    for number in range(NUM_STEPS):
        version = check(history, reference, done)
        history.models[version] = copy.deepcopy(history.model)
        step = history.step()
        by_us = step.ours is not None and (number + seed) % 2 == 0
        done.append(f"{'lancelet' if by_us else 'pylance'}: {step.name}")
        if by_us:
            step.ours(lancelet.dataset(history.root))
        else:
            reference.run(f"ds = lance.dataset(root)\n{step.code}", root=history.root, **step.values)
    check(history, reference, done)
    take_part(lancelet.dataset(history.root), history)
