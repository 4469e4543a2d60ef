"""Manifests: those of the golden datasets, what refuses to be read or written, and damaged ones."""

from __future__ import annotations

import pickle
import struct
from datetime import UTC, datetime, timedelta

import pytest

from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.pb import file_pb2, table_pb2
from lancelet.storage import MemoryStore
from lancelet.storage.counting import CountingStore
from lancelet.table.formats.flags import Flag
from lancelet.table.formats.manifest import (
    Manifest,
    check_writable,
    encode_manifest,
    latest_manifest,
    list_versions,
    manifest_of,
    parse_manifest,
    read_manifest,
    scheme_of,
)
from lancelet.table.formats.names import Scheme, manifest_path
from lancelet.versions import Version
from table.golden_datasets import GoldenDataset, golden_datasets

GOLDEN = [pytest.param(each, id=each.name) for each in golden_datasets()]
SECTIONS = ("index_section", "transaction_section", "transaction_section_moved")


def message_of(version: int = 1, num_fragments: int = 2, **changes) -> table_pb2.Manifest:
    message = table_pb2.Manifest(
        version=version,
        fields=[file_pb2.Field(name="a", id=0, parent_id=-1, logical_type="int64", nullable=True)],
        fragments=[fragment_of(number) for number in range(num_fragments)],
        data_format=table_pb2.Manifest.DataStorageFormat(file_format="lance", version="2.1"),
    )
    message.MergeFrom(table_pb2.Manifest(**changes))
    return message


def fragment_of(number: int, **changes) -> table_pb2.DataFragment:
    return table_pb2.DataFragment(id=number, files=[file_of(number)], physical_rows=10, **changes)


def file_of(number: int, **changes) -> table_pb2.DataFile:
    file = table_pb2.DataFile(
        path=f"{number}.lance", fields=[0], column_indices=[0], file_major_version=2, file_minor_version=1
    )
    file.MergeFrom(table_pb2.DataFile(**changes))
    return file


def read(message: table_pb2.Manifest, index_section: bytes = b"", transaction: bytes = b"") -> Manifest:
    path = manifest_path(message.version)
    return parse_manifest(encode_manifest(message, index_section, transaction), path)


def without_sections(message: table_pb2.Manifest) -> table_pb2.Manifest:
    copy = table_pb2.Manifest()
    copy.CopyFrom(message)
    for name in SECTIONS:
        copy.ClearField(name)
    return copy


@pytest.mark.parametrize("dataset", GOLDEN)
def test_golden_datasets_say_what_pylance_says(dataset: GoldenDataset):
    store = dataset.store
    versions = list_versions(store)
    assert [version for version, _ in versions] == sorted(dataset.versions)
    assert latest_manifest(store).version == dataset.latest
    assert scheme_of(store) is Scheme.V2
    for version, path in versions:
        manifest = manifest_of(store, version)
        facts = dataset.versions[version]
        assert (manifest.version, manifest.path, manifest.scheme) == (version, path, Scheme.V2)
        assert [field.name for field in manifest.schema.fields] == facts["columns"]
        assert [describe(fragment) for fragment in manifest.fragments] == facts["fragments"]
        assert sum(fragment.num_rows for fragment in manifest.fragments) == facts["rows"]
        assert [fragment.to_message() for fragment in manifest.fragments] == list(manifest.fragment_messages)
        assert datetime(2024, 1, 1, tzinfo=UTC) < manifest.timestamp < datetime(2036, 1, 1, tzinfo=UTC)
        assert manifest.message.reader_feature_flags == flags_of(manifest)
        assert manifest.transaction_bytes is not None
        assert manifest.max_fragment_id is None or manifest.max_fragment_id >= len(manifest.fragments) - 1
        check_writable(manifest)


def describe(fragment) -> dict:
    return {
        "id": fragment.id,
        "physical_rows": fragment.physical_rows,
        "deletions": fragment.num_deletions,
        "files": len(fragment.files),
    }


def flags_of(manifest: Manifest) -> int:
    has_deletions = any(fragment.deletion_file for fragment in manifest.fragments)
    return has_deletions | (Flag.STABLE_ROW_IDS if manifest.next_row_id else 0)


@pytest.mark.parametrize("dataset", GOLDEN)
def test_golden_manifests_are_encoded_as_they_were(dataset: GoldenDataset):
    for _, path in list_versions(dataset.store):
        manifest = read_manifest(dataset.store, path)
        before = manifest.message.SerializeToString(deterministic=True)
        encoded = encode_manifest(manifest.message, manifest.index_section, manifest.transaction_bytes)
        assert manifest.message.SerializeToString(deterministic=True) == before
        again = parse_manifest(encoded, path)
        assert without_sections(again.message) == without_sections(manifest.message)
        assert again.transaction_bytes == manifest.transaction_bytes
        assert again.message.HasField("transaction_section")
        assert not again.message.HasField("transaction_section_moved")
        if dataset.writer == "4.0.1":  # the other release has the transaction's position in another field
            with dataset.store.open_source(path) as source:
                assert encoded == bytes(source.read(0, source.size()))


@pytest.mark.parametrize("dataset", GOLDEN)
def test_the_inline_transaction_is_the_transaction_file(dataset: GoldenDataset):
    for _, path in list_versions(dataset.store):
        manifest = read_manifest(dataset.store, path)
        with dataset.store.open_source(f"_transactions/{manifest.transaction_file}") as source:
            assert manifest.transaction_bytes == bytes(source.read(0, source.size()))


def test_a_manifest_travels():
    index_section = table_pb2.IndexSection(indices=[table_pb2.IndexMetadata(name="by a")]).SerializeToString()
    manifest = read(message_of(7), index_section, b"transaction")
    copy = pickle.loads(pickle.dumps(manifest))
    assert copy.message == manifest.message
    assert (copy.version, copy.path, copy.scheme) == (7, manifest_path(7), Scheme.V2)
    assert (copy.index_section, copy.transaction_bytes) == (index_section, b"transaction")
    assert [index.name for index in copy.indices] == ["by a"]
    assert copy.fragments == manifest.fragments
    assert repr(copy) == "Manifest(version=7, 2 fragments)"


def test_sections_stand_before_the_manifest_as_they_were_given():
    for index_section in (b"", b"\n\0"):
        for transaction in (b"", b"transaction"):
            manifest = read(
                message_of(index_section=99, transaction_section_moved=99), index_section, transaction
            )
            assert manifest.index_section == index_section
            assert manifest.transaction_bytes == (transaction or None)


def test_what_is_not_set():
    manifest = read(message_of(num_fragments=0))
    assert manifest.timestamp == datetime(1970, 1, 1, tzinfo=UTC)
    assert manifest.max_fragment_id is None
    assert manifest.fragments == manifest.indices == ()
    assert manifest.config == manifest.table_metadata == {}
    assert not manifest.has_stable_row_ids
    assert manifest.transaction_bytes is None
    assert manifest.storage_version is Version.V2_1


def test_what_is_set():
    message = message_of(config={"k": "v"}, table_metadata={"t": "u"}, schema_metadata={"s": b"w"})
    message.max_fragment_id = 0
    message.next_row_id = 12
    message.timestamp.seconds, message.timestamp.nanos = 100, 7999
    manifest = read(message)
    assert (manifest.config, manifest.table_metadata) == ({"k": "v"}, {"t": "u"})
    assert manifest.schema.metadata == {"s": "w"}
    assert (manifest.max_fragment_id, manifest.next_row_id) == (0, 12)
    assert manifest.timestamp == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=100, microseconds=7)


@pytest.mark.parametrize("bit", range(64))
def test_feature_flags_alone(bit):
    """What readers must know is refused by name; what only writers must know leaves a dataset that can be read."""
    flag = 1 << bit
    if bit <= 5:
        for words in ((flag, flag), (flag, 0), (0, flag)):
            check_writable(flagged(*words))
        return
    name = Flag(flag).name if bit <= 15 else f"bit {bit}"
    if bit == 8:
        check_writable(flagged(flag, flag))
    else:
        with pytest.raises(UnsupportedError, match=f"{flag:#x} for readers: {name}"):
            flagged(flag, flag)
        with pytest.raises(UnsupportedError, match=f"{flag:#x} for readers: {name}"):
            flagged(flag, 0)
    if bit in (8, 10, 14):  # they belong into both words
        with pytest.raises(FormatError, match=f"{flag:#x} stand for writers or readers alone: {name}"):
            flagged(0, flag)
        return
    manifest = flagged(0, flag)
    assert len(manifest.fragments) == 2
    with pytest.raises(UnsupportedError, match=f"{flag:#x} for writers: {name}"):
        check_writable(manifest)


def flagged(reader: int, writer: int) -> Manifest:
    message = message_of(reader_feature_flags=reader, writer_feature_flags=writer)
    for fragment in message.fragments:
        fragment.inline_row_ids = b""
    return read(message)


def test_all_unknown_flags_are_named():
    with pytest.raises(UnsupportedError, match="0x9040 for readers: DATA_OVERLAYS, FRAGMENT_TREE, NON_REUS"):
        flagged(0x9040 | 3, 3)


@pytest.mark.parametrize(
    ("stored", "match"),
    [
        (None, "legacy"),
        (("lance", "0.1"), "legacy"),
        (("lance", "legacy"), "legacy"),
        (("parquet", "2.1"), "'parquet'"),
        (("", "2.1"), "''"),
        (("lance", "2.4"), "'2.4'"),
        (("lance", "stable"), "'stable'"),
        (("lance", ""), "''"),
    ],
)
def test_data_of_other_formats(stored, match):
    message = message_of()
    message.ClearField("data_format")
    if stored:
        message.data_format.file_format, message.data_format.version = stored
    with pytest.raises(UnsupportedError, match=match):
        read(message)


@pytest.mark.parametrize("version", Version)
def test_data_files_have_the_version_of_the_dataset(version):
    message = message_of()
    message.data_format.version = version.text
    for fragment in message.fragments:
        fragment.files[0].file_minor_version = int(version) % 10
    assert len(read(message).fragments) == 2
    assert read(message).storage_version is version
    message.fragments[1].files[0].file_minor_version = (int(version) + 1) % 4
    with pytest.raises(FormatError, match=r"'1.lance' of fragment 1 is of version 2"):
        _ = read(message).fragments
    message.reader_feature_flags = message.writer_feature_flags = Flag.MIXED_FILE_VERSIONS
    assert len(read(message).fragments) == 2


def change(**values):
    def apply(message: table_pb2.Manifest) -> None:
        message.MergeFrom(table_pb2.Manifest(**values))

    return apply


def in_second_file(**values):
    def apply(message: table_pb2.Manifest) -> None:
        message.fragments[1].files[0].MergeFrom(table_pb2.DataFile(**values))

    return apply


def in_second_fragment(**values):
    def apply(message: table_pb2.Manifest) -> None:
        message.fragments[1].MergeFrom(table_pb2.DataFragment(**values))

    return apply


def legacy(message: table_pb2.Manifest) -> None:
    message.fragments[0].files[0].file_major_version = 0


@pytest.mark.parametrize(
    ("damage", "error", "match"),
    [
        (change(fragments=[fragment_of(1)]), FormatError, "fragment 1 follows fragment 1"),
        (change(fragments=[fragment_of(0)]), FormatError, "fragment 0 follows fragment 1"),
        (change(fragments=[fragment_of(1 << 32)]), FormatError, "fragment 4294967296"),
        (change(fragments=[fragment_of(2, overlays=[b""])]), UnsupportedError, "overlays"),
        (
            change(reader_feature_flags=2, writer_feature_flags=2),
            FormatError,
            "fragment 0 has no row ids",
        ),
        (in_second_file(fields=[1]), FormatError, "2 fields"),
        (in_second_file(base_id=3), FormatError, "base path 3"),
        *[
            (in_second_file(path=path), FormatError, "no file below the dataset's folder of data")
            for path in (".", "..", "../1.lance", "/etc/passwd", "a//b", "a\0b", "n" * 256, "ü" * 128)
        ],
        (in_second_fragment(physical_rows=(1 << 32) + 1), FormatError, "more than addresses"),
        (
            in_second_fragment(deletion_file=table_pb2.DeletionFile(num_deleted_rows=11)),
            FormatError,
            "10 rows, and 11",
        ),
        (legacy, UnsupportedError, "legacy file '0.lance'"),
        (
            change(fragments=[fragment_of(2, deletion_file=table_pb2.DeletionFile(base_id=3))]),
            FormatError,
            "base path 3",
        ),
        (
            change(fragments=[table_pb2.DataFragment(id=2, files=[file_of(0), file_of(1)])]),
            FormatError,
            "more than one data file holds field 0",
        ),
        (in_second_file(fields=[0], column_indices=[1]), FormatError, "lists a field twice"),
    ],
)
def test_fragments_that_contradict_the_manifest(damage, error, match):
    message = message_of()
    damage(message)
    manifest = read(message)  # only those who ask for fragments are told
    with pytest.raises(error, match=match):
        _ = manifest.fragments


def test_the_number_of_rows_is_known_without_the_fragments():
    deletion = table_pb2.DeletionFile(read_version=1, id=7, num_deleted_rows=4)
    fragments = [fragment_of(0), fragment_of(1, deletion_file=deletion), fragment_of(2)]
    manifest = read(message_of(fragments=fragments, num_fragments=0))
    assert manifest.num_rows == 26 == sum(found.num_rows for found in manifest.fragments)
    assert read(message_of(num_fragments=0)).num_rows == 0


@pytest.mark.parametrize(
    ("num_rows", "num_deleted"), [(0, None), (1 << 33, None), (10, 0), (10, 11)], ids=str
)
def test_the_number_of_rows_is_not_known_where_fragments_do_not_say_it(num_rows, num_deleted):
    fragment = fragment_of(2)
    fragment.physical_rows = num_rows
    if num_deleted is not None:
        fragment.deletion_file.num_deleted_rows = num_deleted
    assert read(message_of(fragments=[fragment_of(0), fragment], num_fragments=0)).num_rows is None


def test_a_base_path_that_there_is():
    message = message_of(base_paths=[table_pb2.BasePath(id=3, path="/elsewhere", is_dataset_root=True)])
    message.fragments[0].files[0].base_id = 3
    assert read(message).fragments[0].files[0].base_id == 3


def test_a_schema_and_a_time_that_are_none():
    message = message_of(fields=[file_pb2.Field(name="b", id=0, parent_id=-1, logical_type="int64")])
    with pytest.raises(FormatError, match="its id 0 is negative or taken"):
        _ = read(message).schema
    message = message_of()
    for seconds in (1 << 62, -(1 << 62), 1 << 40):
        message.timestamp.seconds = seconds
        with pytest.raises(FormatError, match="no time"):
            _ = read(message).timestamp
    manifest = read(message_of(), b"\xff\xff")
    with pytest.raises(FormatError, match="indices"):
        _ = manifest.indices


def test_a_manifest_is_named_after_its_version():
    data = encode_manifest(message_of(7), b"", b"")
    for path in (manifest_path(7), manifest_path(7, Scheme.V1)):
        assert parse_manifest(data, path).version == 7
    for path in (manifest_path(8), manifest_path(8, Scheme.V1)):
        with pytest.raises(FormatError, match="of version 7, and named after version 8"):
            parse_manifest(data, path)
    with pytest.raises(OptionError):
        parse_manifest(data, "_versions/latest_version_hint.json")


def positions_of(data: bytes) -> int:
    (position,) = struct.unpack("<q", data[-16:-8])
    return position


@pytest.mark.parametrize("delta", [-(1 << 62), -1, 1, 2, 1 << 20, 1 << 62])
def test_positions_and_sizes_that_are_wrong(delta):
    data = encode_manifest(message_of(1), b"", b"transaction")
    position = positions_of(data)
    moved = data[:-16] + struct.pack("<q", position + delta) + data[-8:]
    with pytest.raises(LanceletError):
        parse_manifest(moved, manifest_path(1))
    (size,) = struct.unpack_from("<I", data, position)
    wrong = struct.pack("<I", max(0, min(size + delta, (1 << 32) - 1)))
    with pytest.raises(FormatError):
        parse_manifest(data[:position] + wrong + data[position + 4 :], manifest_path(1))


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize("position", [1, 15, 16, 1 << 40, (1 << 64) - 1])
def test_sections_that_lie_outside(name, position):
    message = message_of(1)
    setattr(message, name, position)
    body = message.SerializeToString()
    before = struct.pack("<I", 12) + b"twelve bytes"
    data = before + struct.pack("<I", len(body)) + body + struct.pack("<qHH4s", len(before), 0, 2, b"LANC")
    with pytest.raises(FormatError):
        parse_manifest(data, manifest_path(1))
    setattr(message, name, 0)
    body = message.SerializeToString()
    data = before + struct.pack("<I", len(body)) + body + struct.pack("<qHH4s", len(before), 0, 2, b"LANC")
    manifest = parse_manifest(data, manifest_path(1))
    found = manifest.index_section if name == "index_section" else manifest.transaction_bytes
    assert found == b"twelve bytes"


def test_the_tail():
    data = encode_manifest(message_of(1), b"", b"")
    with pytest.raises(FormatError, match="ends with"):
        parse_manifest(data[:-1] + b"D", manifest_path(1))
    with pytest.raises(UnsupportedError, match=r"version 0.3"):
        parse_manifest(data[:-8] + struct.pack("<HH", 0, 3) + data[-4:], manifest_path(1))


def look_at_all(manifest: Manifest) -> None:
    """Ask for everything that is checked late."""
    _ = manifest.schema, manifest.fragments, manifest.timestamp, manifest.indices, manifest.config
    check_writable(manifest)


def rich() -> bytes:
    message = message_of(3, config={"k": "v"}, schema_metadata={"s": b"w"}, max_fragment_id=5)
    message.fragments[0].deletion_file.num_deleted_rows = 2
    message.fragments[1].inline_row_ids = b"\n\4\n\2\20\12"
    message.timestamp.seconds = 1_700_000_000
    section = table_pb2.IndexSection(indices=[table_pb2.IndexMetadata(name="i", fields=[0])])
    return encode_manifest(message, section.SerializeToString(), b"a transaction")


@pytest.mark.parametrize("data", [rich(), encode_manifest(message_of(3), b"", b"")], ids=["rich", "small"])
def test_cut_at_every_byte(data):
    store = MemoryStore()
    for size in range(len(data)):
        store.put(manifest_path(3), data[:size])
        with pytest.raises(LanceletError) as raised:
            manifest_of(store, 3)
        assert "<memory>/_versions/" in str(raised.value)
        with pytest.raises(LanceletError):
            parse_manifest(data[size + 1 :], manifest_path(3))


def test_every_flipped_bit():
    data = rich()
    refused = 0
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                look_at_all(parse_manifest(bytes(damaged), manifest_path(3)))
            except LanceletError:
                refused += 1
    assert refused > 8 * len(data) // 4


def test_a_listing_and_a_read_open_the_latest_of_many():
    store = MemoryStore()
    for version in range(1, 40):
        store.put(manifest_path(version), encode_manifest(message_of(version), b"", b""))
    store.put(manifest_path(1 << 63 | 5), encode_manifest(message_of(1 << 63 | 5), b"", b""))
    for name in ("latest_version_hint.json", f"{0:020d}.manifest#1", "a/00000000000000000000.manifest"):
        store.put(f"_versions/{name}", b"garbage")
    counting = CountingStore(store)
    assert latest_manifest(counting).version == 39
    assert [request.kind for request in counting.requests] == ["list", "size", "get_range"]
    assert [version for version, _ in list_versions(store)] == list(range(1, 40))
    counting.requests.clear()
    assert manifest_of(counting, 17).version == 17
    assert {request.kind for request in counting.requests} == {"size", "get_range"}
    detached = manifest_of(counting, 1 << 63 | 5)
    assert (detached.version, detached.scheme) == (1 << 63 | 5, None)


def test_scheme_1():
    store = MemoryStore()
    for version in (1, 2, 9, 10, 11):
        store.put(manifest_path(version, Scheme.V1), encode_manifest(message_of(version), b"", b""))
    assert latest_manifest(store).version == 11
    assert latest_manifest(store).scheme is Scheme.V1
    assert manifest_of(store, 9).path == "_versions/9.manifest"
    assert [version for version, _ in list_versions(store)] == [1, 2, 9, 10, 11]
    assert scheme_of(store) is Scheme.V1


def test_both_schemes_together():
    store = MemoryStore()
    store.put(manifest_path(1, Scheme.V1), encode_manifest(message_of(1), b"", b""))
    store.put(manifest_path(2), encode_manifest(message_of(2), b"", b""))
    for ask in (latest_manifest, list_versions, scheme_of):
        with pytest.raises(FormatError, match="both schemes"):
            ask(store)


def test_no_dataset():
    store = MemoryStore()
    store.put(manifest_path(1 << 63), b"")
    assert latest_manifest(store) is None
    assert list_versions(store) == []
    assert scheme_of(store) is None
    for version in (1, (1 << 63) + 1):
        with pytest.raises(FileNotFoundError):
            manifest_of(store, version)
    with pytest.raises(OptionError):
        manifest_of(store, -1)


class CleanedUp(MemoryStore):
    """The newest version vanishes after it was listed, because a newer one came."""

    num_vanishing = 0
    newest = 1

    def list(self, folder: str = "") -> list[str]:
        found = super().list(folder)
        if self.num_vanishing:
            self.num_vanishing -= 1
            self.newest += 1
            self.put(manifest_path(self.newest), encode_manifest(message_of(self.newest), b"", b""))
            self.delete(found[0])
        return found


def test_the_latest_version_is_looked_for_again_when_it_vanished():
    store = CleanedUp()
    store.put(manifest_path(1), encode_manifest(message_of(1), b"", b""))
    store.num_vanishing = 2
    assert latest_manifest(store).version == 3
    store.num_vanishing = 100
    with pytest.raises(FormatError, match="vanish"):
        latest_manifest(store)
