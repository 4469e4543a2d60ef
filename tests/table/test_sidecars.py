"""Blobs in sidecar files: where they are placed, as pylance places them, and what pylance and lancelet read of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from blob_tables import BLOBS, MARK, blob, blob_field, blob_table, sized
from commit_jobs import data_file
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.schema.blobs import PREPARED_INPUT
from lancelet.storage import LocalStore, MemoryStore
from lancelet.table.formats.metadata import FragmentMetadata
from lancelet.table.formats.operations import Append
from lancelet.table.formats.sidecars import sidecar_path
from oracle.client import oracle

if TYPE_CHECKING:
    from pathlib import Path

K, M = 1 << 10, 1 << 20

#: Sizes around all limits; descriptors as (kind, position in a sidecar file, blob id).
USUAL = sized(0, 3, None, 64 * K, 64 * K + 1, 5 * M, 4 * M, 4 * M + 1, 70_000)
USUAL_KINDS = [(0, 0), (0, 0), None, (0, 0), (1, 1), (2, 2), (1, 1), (2, 3), (1, 1)]

WRITE = """
from lance import Blob, blob_array, blob_field
def one(value):
    if value is None or isinstance(value, (bytes, str)):
        return value
    return Blob.from_uri(*value)
blobs = blob_array([one(value) for value in values])
limits = {key + "_size_threshold": size for key, size in limits.items()}
schema = pa.schema([pa.field("id", pa.int64()), blob_field("b", **limits)])
table = pa.table({"id": range(len(values)), "b": blobs}, schema=schema)
lance.write_dataset(
    table, root, data_storage_version="2.2", mode=mode, allow_external_blob_outside_bases=True
)
"""
READ = """
ds = lance.dataset(root)
ds.validate()
rows = list(range(ds.count_rows()))
found = ds.take_blobs("b", indices=rows)
result = {
    "files": [None if file is None else (file.size(), file.read()) for file in found],
    "table": ds.to_table().to_pylist(),
    "values": ds.scanner(columns=["b"], blob_handling="all_binary").to_table()["b"].to_pylist(),
    "schema": [(f.name(), f.id()) for f in ds.lance_schema.fields()],
    "files_of": [[(file.fields, file.column_indices) for file in f.data_files()] for f in ds.get_fragments()],
}
"""


def theirs(root: Path, values: list[Any], mode: str = "create", **limits: int) -> lancelet.Dataset:
    oracle("14.0.2").run(WRITE, root=str(root), values=values, limits=limits, mode=mode)
    return lancelet.dataset(root)


def read_by_them(root: Path) -> dict[str, Any]:
    return oracle("14.0.2").run(READ, root=str(root))


def values_of(dataset: lancelet.Dataset, **options: Any) -> list[bytes | None]:
    return dataset.to_table(columns=["b"], blob_handling="all_binary", **options)["b"].to_pylist()


def kinds_of(dataset: lancelet.Dataset) -> list[tuple[int, int] | None]:
    found = dataset.to_table(columns=["b"])["b"].to_pylist()
    return [None if one is None else (one["kind"], one["blob_id"]) for one in found]


def test_values_are_placed_by_size(tmp_path: Path) -> None:
    dataset = lancelet.write_dataset(blob_table(USUAL), tmp_path / "d")
    assert kinds_of(dataset) == USUAL_KINDS
    assert values_of(dataset) == USUAL
    stem = dataset.get_fragments()[0].metadata.files[0].path.removesuffix(".lance")
    assert sorted(path for path in dataset.store.list("data") if path.endswith(".blob")) == sorted(
        sidecar_path(stem, number) for number in (1, 2, 3)
    )
    assert dataset.store.size(sidecar_path(stem, 1)) == 64 * K + 1 + 4 * M + 70_000
    assert read_by_them(tmp_path / "d")["values"] == USUAL


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"inline": 0},
        {"inline": 10, "dedicated": 100},
        {"inline": 200, "dedicated": 100},
        {"inline": 100, "dedicated": 100},
        {"inline": 10, "pack_file": 130},
        {"inline": 0, "pack_file": 1},
        {"inline": 0, "pack_file": 100},
    ],
    ids=str,
)
def test_thresholds_mean_what_they_mean_to_pylance(limits: dict[str, int], tmp_path: Path) -> None:
    values = sized(0, 1, 10, 11, None, 100, 101, 199, 200, 201, 30, 30, 30, 70, 31, 100, 100)
    ours = lancelet.write_dataset(blob_table(values, blob_field(**limits)), tmp_path / "ours")
    other = theirs(tmp_path / "theirs", values, **limits)
    for dataset in (ours, other):
        assert values_of(dataset) == values
    found, expected = (dataset.to_table(columns=["b"])["b"].to_pylist() for dataset in (ours, other))
    for one, reference in zip(found, expected, strict=True):
        if one is not None and one["kind"] == reference["kind"] == 0:
            one["position"] = reference["position"] = 0  # in the data file
    assert found == expected
    by_them = read_by_them(tmp_path / "ours")
    assert by_them["values"] == values
    assert [None if one is None else one[1] for one in by_them["files"]] == values


def test_manifests_look_like_those_of_pylance(tmp_path: Path) -> None:
    values = sized(1, 70_000, None)
    ours = lancelet.write_dataset(blob_table(values, blob_field(inline=99)), tmp_path / "ours")
    other = theirs(tmp_path / "theirs", values, inline=99)

    def shape(dataset: lancelet.Dataset) -> list[Any]:
        return [
            (f.id, f.parent_id, f.name, f.logical_type, f.nullable, dict(f.metadata))
            for f in dataset.manifest.message.fields
        ]

    assert shape(ours) == shape(other)
    files = [dataset.get_fragments()[0].metadata.files[0] for dataset in (ours, other)]
    assert files[0].fields == files[1].fields == (0, 1)
    assert files[0].column_indices == files[1].column_indices
    assert ours.schema == other.schema
    assert ours.to_table().schema == other.to_table().schema


def test_pylance_goes_on(tmp_path: Path) -> None:
    root, first, second = tmp_path / "d", sized(5, 70_000, None), sized(None, 80_000, 0, 5 * M)
    lancelet.write_dataset(blob_table(first), root)
    theirs(root, second, "append")
    third = sized(90_000, 12)
    dataset = lancelet.write_dataset(blob_table(third), root, mode="append")
    assert values_of(dataset) == first + second + third
    dataset.delete("id = 1")
    expected = [first[0], first[2], second[0], *second[2:], third[0]]
    assert values_of(dataset) == expected
    by_them = read_by_them(root)
    assert by_them["values"] == expected
    oracle("14.0.2").run("lance.dataset(root).optimize.compact_files()", root=str(root))
    latest = lancelet.dataset(root)
    assert latest.version > dataset.version
    assert values_of(latest) == expected
    latest.validate(read_data=True)


@pytest.mark.parametrize("nullable", [True, False])
def test_blobs_in_structs(nullable: bool, tmp_path: Path) -> None:
    values = sized(3, 70_000, None if nullable else 7, 0, 66_000, 80_000)
    inner = pa.StructArray.from_arrays(
        [pa.array(range(6)), pa.array([blob(value) for value in values], BLOBS)],
        fields=[pa.field("n", pa.int64()), blob_field("b", nullable=nullable)],
        mask=pa.array([False] * 5 + [True]),
    )
    dataset = lancelet.write_dataset(pa.table({"s": inner}), tmp_path / "d")
    expected = [*values[:5], None]
    found = dataset.to_table(blob_handling="all_binary")["s"].to_pylist()
    assert found == [{"n": n, "b": expected[n]} for n in range(5)] + [None]
    assert dataset.to_table(columns=["s.b"], blob_handling="all_binary")["s.b"].to_pylist() == expected
    files = dataset.take_blobs("s.b", indices=range(6))
    assert [None if file is None else file.read() for file in files] == expected
    stem = dataset.get_fragments()[0].metadata.files[0].path.removesuffix(".lance")
    # what nobody sees below a null struct is not written
    assert dataset.store.size(sidecar_path(stem, 1)) == 70_000 + 66_000
    code = """
    import pyarrow as pa
    ds = lance.dataset(root)
    ds.validate()
    result = ds.scanner(blob_handling="all_binary").to_table().to_pylist()
    """
    by_them = oracle("14.0.2").run(
        "\n".join(line.strip() for line in code.splitlines()), root=str(tmp_path / "d")
    )
    assert by_them == dataset.to_table(blob_handling="all_binary").to_pylist()


def test_external_blobs(tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(bytes(range(256)))
    uri = outside.as_uri()
    values: list[Any] = [b"a", uri, (uri, 10, 20), None, sized(70_000)[0]]
    expected = [b"a", bytes(range(256)), bytes(range(10, 30)), None, values[4]]
    dataset = lancelet.write_dataset(blob_table(values), tmp_path / "d")
    other = theirs(tmp_path / "theirs", values)
    found = [one.to_table(columns=["b"])["b"].to_pylist() for one in (dataset, other)]
    assert [one and (one["kind"], one["blob_uri"], one["size"]) for one in found[0]] == [
        one and (one["kind"], one["blob_uri"], one["size"]) for one in found[1]
    ]
    by_them = read_by_them(tmp_path / "d")
    assert by_them["values"] == expected
    for one in (dataset, other):
        with pytest.raises(UnsupportedError, match=r"external: 'file://.*blobs_descriptions"):
            values_of(one)
        assert values_of(one, filter="id = 0 or id > 2") == [b"a", None, values[4]]
        one.validate(read_data=True)


def test_files_are_cut_with_their_sidecars(tmp_path: Path) -> None:
    values = sized(*[70_000 + number for number in range(25)])
    dataset = lancelet.write_dataset(blob_table(values), tmp_path / "d", max_rows_per_file=10)
    assert [fragment.metadata.physical_rows for fragment in dataset.get_fragments()] == [10, 10, 5]
    assert len(dataset.store.list("data")) == 6
    assert values_of(dataset) == values
    assert values_of(dataset, offset=8, limit=4) == values[8:12]
    cut = lancelet.write_dataset(blob_table(values), tmp_path / "bytes", max_bytes_per_file=300_000)
    assert len(cut.get_fragments()) > 3
    assert values_of(cut) == values


@pytest.mark.parametrize("seed", range(6))
def test_values_of_many_batches_and_takes(seed: int) -> None:
    """Inline, packed and dedicated values in turn, and null ones; read in any order, in a store of memory."""
    import random

    chance = random.Random(seed)
    sizes = [chance.choice([None, 0, 1, 40, 41, 300, 301, chance.randrange(1000)]) for _ in range(700)]
    values = sized(*sizes)
    field = blob_field(
        inline=40, dedicated=chance.choice([50, 300, 5000]), pack_file=chance.choice([500, 10**6])
    )
    table = blob_table(values, field)
    batches = table.to_batches(max_chunksize=chance.choice([13, 200, 1000]))
    store = MemoryStore()
    dataset = lancelet.write_dataset(
        pa.Table.from_batches(batches),
        store,
        max_rows_per_file=chance.choice([100, 10**6]),
        max_page_bytes=4 * K,
    )
    assert values_of(dataset) == values
    assert [
        v
        for b in dataset.to_batches(["b"], blob_handling="all_binary", batch_size=50)
        for v in b[0].to_pylist()
    ] == values
    rows = [chance.randrange(700) for _ in range(90)]
    taken = dataset.take(rows, ["b"], blob_handling="all_binary")["b"].to_pylist()
    assert taken == [values[row] for row in rows]
    files = dataset.take_blobs("b", indices=rows)
    assert [None if file is None else file.read() for file in files] == taken


def test_wrong_thresholds() -> None:
    field = blob_field().with_metadata(MARK | {"lance-encoding:blob-inline-size-threshold": "many"})
    store = MemoryStore()
    with pytest.raises(OptionError, match="inline-size-threshold is 'many'"):
        lancelet.write_dataset(blob_table([b"a"], field), store)
    assert store.list() == []


def test_blobs_need_their_extension(tmp_path: Path) -> None:
    dataset = lancelet.write_dataset(blob_table([b"a"]), tmp_path / "d")
    plain = pa.table({"id": [1], "b": pa.array([{"data": b"x"}], BLOBS)})
    with pytest.raises(OptionError, match=r"extension lance\.blob\.v2"):
        lancelet.write_dataset(plain, dataset, mode="append")


def prepared(rows: list[dict[str, Any] | None]) -> pa.Table:
    """A column of blobs whose places are given."""
    type_ = pa.struct(list(PREPARED_INPUT.items()))
    return pa.table([pa.array(rows, type_)], pa.schema([pa.field("b", type_, metadata=MARK)]))


def test_places_are_not_given_by_users(tmp_path: Path) -> None:
    store = MemoryStore()
    table = prepared([{"kind": 1, "blob_id": 5, "blob_size": 9, "position": 0}])
    listed = pa.table(
        {"l": pa.ListArray.from_arrays([0, 1], table["b"].chunk(0), type=pa.list_(table.field("b")))}
    )
    for given in (table, listed):
        with pytest.raises(OptionError, match="places are chosen already"):
            lancelet.write_dataset(given, store)
    dataset = lancelet.write_dataset(blob_table([b"a"]).select(["b"]), store)
    before = store.list()
    with pytest.raises(OptionError, match="places are chosen already"):
        dataset.insert(table)
    assert store.list() == before


@pytest.mark.parametrize(
    ("blob_id", "position", "size", "message"),
    [
        (1, 0, 101, "inside of sidecar file 1, which has 100 bytes"),
        (1, 100, 1, "inside of sidecar file 1"),
        (1, 2**64 - 1, 5, "inside of sidecar file 1"),
        (1, 5, 2**64 - 5, "inside of sidecar file 1"),
        (1, 0, 2**63, "inside of sidecar file 1"),
        (0, 0, 1, "without a number"),
        (2, 0, 1, "does not exist"),
        (2**32 - 1, 0, 1, "does not exist"),
    ],
)
def test_damaged_descriptors(blob_id: int, position: int, size: int, message: str, tmp_path: Path) -> None:
    """Whatever descriptors say, nothing is allocated or read on their word alone."""
    store = LocalStore(tmp_path / "d")
    dataset = lancelet.write_dataset(blob_table([b"a"]).select(["b"]), store)
    good = {"kind": 1, "blob_id": 1, "position": 90, "blob_size": 10}
    bad = good | {"blob_id": blob_id, "position": position, "blob_size": size}
    file = data_file(store, prepared([good, None, bad]), [0], version="2.2")
    store.put(sidecar_path(file.path.removesuffix(".lance"), 1), bytes(range(100)))
    added = FragmentMetadata(0, (file,), 3)
    dataset = lancelet.commit(store, Append((added,)), dataset.version)
    assert values_of(dataset, limit=3) == [b"a", bytes(range(90, 100)), None]
    for read in (values_of, lambda found: found.validate(read_data=True)):
        with pytest.raises(FormatError, match=message):
            read(dataset)
    with pytest.raises((FormatError, OptionError)):
        dataset.take_blobs("b", indices=[3])[0].read()  # type: ignore[union-attr]


def test_both_shapes_of_blobs_go_together(tmp_path: Path) -> None:
    """Blobs are declared with a range of an object, or without."""
    short = pa.struct(list(BLOBS)[:2])
    two = pa.table(
        [pa.array([{"data": b"x" * 70_000}, None], short)], pa.schema([pa.field("b", short, metadata=MARK)])
    )
    four = blob_table([b"abc"]).select(["b"])
    for number, (first, second) in enumerate(((two, four), (four, two))):
        dataset = lancelet.write_dataset(first, tmp_path / f"d{number}")
        dataset.insert(second)
        values = values_of(dataset)
        assert [value and len(value) for value in values] in ([70_000, None, 3], [3, 70_000, None])
        oracle("14.0.2").run(
            "lance.dataset(root).insert(pa.table({'b': lance.blob_array([b'zz'])}))",
            root=str(tmp_path / f"d{number}"),
        )
        assert read_by_them(tmp_path / f"d{number}")["values"] == [*values, b"zz"]
        assert values_of(lancelet.dataset(tmp_path / f"d{number}")) == [*values, b"zz"]


class BlobType(pa.ExtensionType):
    """What pylance registers in processes that import it."""

    def __init__(self) -> None:
        super().__init__(BLOBS, "lance.blob.v2")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> BlobType:
        return cls()


def test_blobs_of_a_registered_type(tmp_path: Path) -> None:
    values = sized(5, 70_000, None)
    pa.register_extension_type(BlobType())
    try:
        storage = blob_table(values)["b"].chunk(0)
        table = pa.table({"b": pa.ExtensionArray.from_storage(BlobType(), storage), "n": [1, 2, 3]})
        dataset = lancelet.write_dataset(table, tmp_path / "d")
        dataset.insert(table)
        assert values_of(dataset) == values * 2
        assert [file and file.read() for file in dataset.take_blobs("b", indices=range(3))] == values
    finally:
        pa.unregister_extension_type("lance.blob.v2")
    assert read_by_them(tmp_path / "d")["values"] == values * 2


def test_scans_of_large_blobs_stay_small(tmp_path: Path) -> None:
    """Sizes of sidecar files are known before a window is cut: what is in memory stays a few windows."""
    value = bytes(range(256)) * 4096
    dataset = lancelet.write_dataset(blob_table([value] * 100), tmp_path / "d")
    before, most, num_rows = pa.total_allocated_bytes(), 0, 0
    for batch in dataset.to_batches(["b"], blob_handling="all_binary"):
        most = max(most, pa.total_allocated_bytes() - before)
        num_rows += batch.num_rows
        assert batch.column(0)[0].as_py() == value
    assert num_rows == 100
    assert most < 64 * M


def test_bodies_of_rows_that_are_not_wanted_are_not_read(tmp_path: Path) -> None:
    field = blob_field(inline=0, dedicated=1)
    values = sized(*[100 + number for number in range(200)])
    dataset = lancelet.write_dataset(blob_table(values, field), tmp_path / "d")
    stem = dataset.get_fragments()[0].metadata.files[0].path.removesuffix(".lance")
    for number in range(1, 200, 2):  # rows 0, 2, 4 ... have sidecar files 1, 3, 5 ...
        dataset.store.delete(sidecar_path(stem, number))
    assert values_of(dataset, filter="id % 2 = 1") == values[1::2]
    assert dataset.take(range(1, 200, 2), ["b"], blob_handling="all_binary")["b"].to_pylist() == values[1::2]
    dataset.delete("id % 2 = 0")
    assert values_of(dataset) == values[1::2]
    dataset.validate(read_data=False)


class Damage:
    """What is done to the sidecar file 1, and what readers say."""

    @staticmethod
    def missing(store: LocalStore, path: str) -> None:
        store.delete(path)

    @staticmethod
    def short(store: LocalStore, path: str) -> None:
        store.put(path, store.get_range(path, 0, store.size(path) - 1))

    @staticmethod
    def empty(store: LocalStore, path: str) -> None:
        store.put(path, b"")


@pytest.mark.parametrize("damage", ["missing", "short", "empty"])
def test_damaged_sidecars(damage: str, tmp_path: Path) -> None:
    values = sized(70_000, 3, 80_000)
    dataset = lancelet.write_dataset(blob_table(values), tmp_path / "d")
    stem = dataset.get_fragments()[0].metadata.files[0].path.removesuffix(".lance")
    getattr(Damage, damage)(dataset.store, sidecar_path(stem, 1))
    message = "does not exist" if damage == "missing" else "inside of sidecar file 1"
    with pytest.raises(FormatError, match=message):
        values_of(dataset)
    assert values_of(dataset, filter="id = 1") == [values[1]]
    last = dataset.take_blobs("b", indices=[2])[0]
    assert last is not None
    with pytest.raises(FormatError):
        last.read()
    assert dataset.to_table()["b"].num_chunks  # descriptors are there


def test_validate_looks_at_sidecars(tmp_path: Path) -> None:
    dataset = lancelet.write_dataset(blob_table(sized(70_000, 3)), tmp_path / "d")
    dataset.validate(read_data=True)
    (path,) = (path for path in dataset.store.list("data") if path.endswith(".blob"))
    dataset.store.delete(path)
    with pytest.raises(FormatError, match="does not exist"):
        dataset.validate(read_data=True)
