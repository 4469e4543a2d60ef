"""What validation finds in manifests that say something wrong, and what it takes to find it."""

from __future__ import annotations

import pyarrow as pa

import lancelet
from lancelet.storage import MemoryStore
from lancelet.table.changes.validate import find_problems
from lancelet.table.formats.manifest import encode_manifest
from lancelet.table.formats.rowids import RowIds


def test_validation_does_not_spell_out_row_ids() -> None:
    """A few bytes of a manifest stand for 2**30 of them."""
    made = lancelet.write_dataset(pa.table({"a": [1, 2]}), MemoryStore(), enable_stable_row_ids=True)
    message, num = made.manifest.message, 1 << 30
    fragment = message.fragments[0]
    fragment.physical_rows = message.next_row_id = num
    fragment.inline_row_ids = RowIds.range(0, num).serialize()
    made.store.put(made.manifest.path, encode_manifest(message, b"", b""))
    again = lancelet.dataset(made.store)
    problems = list(find_problems(again.snapshot, again.manifest))
    assert {str(problem).partition(" (")[0] for problem in problems} == {
        f"the file has 2 rows, and fragment 0 has {num}"
    }


def test_validation_finds_ids_that_two_rows_have() -> None:
    made = lancelet.write_dataset(
        pa.table({"a": range(6)}), MemoryStore(), max_rows_per_file=3, enable_stable_row_ids=True
    )
    made.delete("a = 1")
    message = made.manifest.message
    message.fragments[1].inline_row_ids = RowIds.range(1, 4).serialize()  # 2 is there already, 1 is deleted
    message.next_row_id = 3
    made.store.put(made.manifest.path, encode_manifest(message, b"", b""))
    again = lancelet.dataset(made.store)
    told = list(map(str, find_problems(again.snapshot, again.manifest)))
    assert told == [
        "1 row ids belong to more than one row; the first is 2",
        "a row has the id 3, and the next id to be given out is 3",
    ]


def test_validation_finds_files_that_two_fragments_have() -> None:
    made = lancelet.write_dataset(pa.table({"a": range(6)}), MemoryStore(), max_rows_per_file=3)
    message = made.manifest.message
    message.fragments[1].files[0].CopyFrom(message.fragments[0].files[0])
    made.store.put(made.manifest.path, encode_manifest(message, b"", b""))
    again = lancelet.dataset(made.store)
    (told,) = map(str, find_problems(again.snapshot, again.manifest))
    assert told.startswith("fragments 0 and 1 have the same file (path ")
