"""Tags: names for versions, shared with pylance; names that all readers know, and damaged ones."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

import lancelet
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.storage import LocalStore, MemoryStore, Store
from lancelet.table.formats.tags import Tag, Tags, read_tags
from oracle.client import OracleError, oracle
from race_jobs import some_rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store() -> MemoryStore:
    """Three versions."""
    store = MemoryStore()
    dataset = lancelet.write_dataset(some_rows(0, 2), store)
    dataset.insert(some_rows(2, 2))
    dataset.insert(some_rows(4, 2))
    return store


def stored(store: Store, name: str) -> dict[str, Any]:
    path = f"_refs/tags/{name}.json"
    return json.loads(bytes(store.get_range(path, 0, store.size(path))))  # type: ignore[no-any-return]


def test_a_tag_is_made_moved_and_deleted(store: MemoryStore) -> None:
    tags = Tags(store)
    assert tags.list() == {}
    tags.create("one", 1)
    tag = tags.list()["one"]
    assert (tag.version, tag.branch, tag.metadata) == (1, None, {})
    assert tag.manifest_size == store.size(lancelet.dataset(store, version=1).manifest.path)
    assert tag.created_at == tag.updated_at
    assert datetime.fromisoformat(tag.created_at or "").tzinfo is not None
    assert tags.get_version("one") == 1
    tags.update("one", 3)
    moved = tags.list()["one"]
    assert (moved.version, moved.created_at) == (3, tag.created_at)
    assert (moved.updated_at or "") >= (tag.updated_at or "")
    tags.delete("one")
    assert tags.list() == {}
    assert store.list("_refs") == []


def test_a_tag_names_a_version_wherever_one_is_named(store: MemoryStore) -> None:
    dataset = lancelet.dataset(store)
    dataset.tags.create("two", 2)
    assert lancelet.dataset(store, "two").version == 2
    assert lancelet.dataset(store, tag="two").count_rows() == 4
    assert dataset.checkout_version("two").version == 2
    dataset.checkout_version("two").restore()
    assert lancelet.dataset(store).count_rows() == 4


def test_order(store: MemoryStore) -> None:
    tags = Tags(store)
    for name, version in (("b", 2), ("a", 2), ("c", 3), ("d", 1)):
        tags.create(name, version)
    assert list(tags.list()) == ["a", "b", "c", "d"]
    assert [name for name, _ in tags.list_ordered()] == ["c", "a", "b", "d"]
    assert [name for name, _ in tags.list_ordered("asc")] == ["d", "a", "b", "c"]
    with pytest.raises(OptionError, match="order is 'up'"):
        tags.list_ordered("up")


def test_what_is_not_there(store: MemoryStore) -> None:
    tags = Tags(store)
    tags.create("one", 1)
    for use in (
        lambda: tags.get_version("on"),
        lambda: tags.delete("on"),
        lambda: tags.update("on", 1),
        lambda: lancelet.dataset(store, tag="on"),
    ):
        with pytest.raises(OptionError, match="no tag 'on'; there are 'one'"):
            use()
    with pytest.raises(OptionError, match="exists already"):
        tags.create("one", 2)
    for change in (tags.create, tags.update):
        with pytest.raises(OptionError, match="no version 9"):
            change("new" if change == tags.create else "one", 9)
    assert tags.get_version("one") == 1
    assert list(tags.list()) == ["one"]


#: Names with what 14.0.2 says of them; lancelet refuses some that it takes, and takes none that it refuses.
NAMES = {
    "v1.0": True,
    "a_b-c": True,
    "UPPER": True,
    "1": True,
    "": False,
    ".a": False,
    "a.": False,
    "a..b": False,
    "a.lock": False,
    "a/b": False,
    "a b": False,
    "../x": False,
    "a\\b": False,
    "ä": False,
    "a\n": False,
    "x" * 201: False,
    "é.json": False,
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names(name: str, store: MemoryStore, tmp_path: Path) -> None:
    if NAMES[name]:
        Tags(store).create(name, 1)
        assert list(Tags(store).list()) == [name]
        root = str(tmp_path / "d")
        lancelet.write_dataset(some_rows(0, 1), root).tags.create(name, 1)
        code = "result = {name: tag['version'] for name, tag in lance.dataset(root).tags.list().items()}"
        assert oracle("14.0.2").run(code, root=root) == {name: 1}
        return
    for use in (Tags(store).create, Tags(store).update):
        with pytest.raises(OptionError, match="is no name of a tag"):
            use(name, 1)
    with pytest.raises(OptionError, match="is no name of a tag"):
        Tags(store).get_version(name)
    assert store.list("_refs") == []


@pytest.mark.parametrize("name", [None, 5, b"a"])
def test_names_are_text(name: Any, store: MemoryStore) -> None:
    with pytest.raises(OptionError, match="is no name of a tag"):
        Tags(store).create(name, 1)


@pytest.mark.parametrize("version", [True, "1", 1.0, -1])
def test_versions_are_numbers(version: Any, store: MemoryStore) -> None:
    with pytest.raises(OptionError):
        Tags(store).create("a", version)
    assert store.list("_refs") == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"{}",
        b'{"version": "1"}',
        b'{"version": true}',
        b'{"version": -1}',
        b'{"version": 1.5}',
        b'\xff{"version": 1}',
        b"[" * 100_000,
        b'{"version": ' + b"9" * 5000 + b"}",
        b" " * (2 << 20),
    ],
    ids=range(14),
)
def test_damaged_tags(data: bytes, store: MemoryStore) -> None:
    store.put("_refs/tags/bad.json", data)
    tags = Tags(store)
    for use in (tags.list, lambda: tags.get_version("bad"), lambda: tags.update("bad", 1)):
        with pytest.raises(FormatError, match="tag"):
            use()
    with pytest.raises(FormatError, match=r"bad\.json"):
        lancelet.dataset(store).cleanup_old_versions()
    tags.delete("bad")
    assert tags.list() == {}


def test_what_else_a_tag_may_hold(store: MemoryStore) -> None:
    found = {"version": 2, "manifestSize": "many", "branch": 7, "metadata": ["x"], "createdAt": 5, "new": {}}
    store.put("_refs/tags/odd.json", json.dumps(found).encode())
    assert read_tags(store) == {"odd": Tag(2)}
    store.put("_refs/tags/readme.txt", b"no tag")
    store.put("_refs/branches/b.json", b"{}")
    assert list(read_tags(store)) == ["odd"]


def test_tags_of_branches(store: MemoryStore) -> None:
    store.put("_refs/tags/theirs.json", json.dumps({"branch": "dev", "version": 2}).encode())
    assert Tags(store).list()["theirs"].branch == "dev"
    with pytest.raises(UnsupportedError, match="branch 'dev'"):
        lancelet.dataset(store, tag="theirs")


def test_of_many_that_make_a_tag_one_does(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = LocalStore(tmp_path / "d")
    dataset = lancelet.write_dataset(some_rows(0, 1), store)
    for _ in range(7):
        dataset.insert(some_rows(1, 1))

    def make(version: int) -> bool:
        try:
            Tags(store).create("race", version)
        except OptionError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(make, range(1, 9)))
    assert won.count(True) == 1
    assert Tags(store).get_version("race") == won.index(True) + 1


# ---- with pylance


@pytest.mark.parametrize("release", ["4.0.1", "14.0.2"])
def test_pylance_knows_our_tags(release: str, tmp_path: Path) -> None:
    root = str(tmp_path / "d")
    dataset = lancelet.write_dataset(some_rows(0, 2), root, data_storage_version="2.1")
    dataset.insert(some_rows(2, 2))
    dataset.tags.create("ours", 1)
    code = """
ds = lance.dataset(root)
listed = {name: (tag["version"], tag["manifest_size"]) for name, tag in ds.tags.list().items()}
rows = lance.dataset(root, version="ours").count_rows()
ds.tags.update("ours", 2)
ds.tags.create("theirs", 1)
result = listed, rows
"""
    listed, rows = oracle(release).run(code, root=root)
    assert listed == {"ours": (1, dataset.tags.list()["theirs"].manifest_size)}
    assert rows == 2
    found = dataset.tags.list()
    assert {name: tag.version for name, tag in found.items()} == {"ours": 2, "theirs": 1}
    assert lancelet.dataset(root, tag="theirs").count_rows() == 2
    dataset.tags.update("theirs", 2)
    dataset.tags.delete("ours")
    code = "result = {name: tag['version'] for name, tag in lance.dataset(root).tags.list().items()}"
    assert oracle(release).run(code, root=root) == {"theirs": 2}
    with pytest.raises(OracleError):
        oracle(release).run("lance.dataset(root).tags.create('theirs', 1)", root=root)


def test_stored_tags_look_alike(tmp_path: Path) -> None:
    root = tmp_path / "d"
    dataset = lancelet.write_dataset(some_rows(0, 2), root)
    dataset.tags.create("ours", 1)
    oracle("14.0.2").run("lance.dataset(root).tags.create('theirs', 1)", root=str(root))
    ours, theirs = (stored(LocalStore(root), name) for name in ("ours", "theirs"))
    assert list(ours) == list(theirs)
    for key in ("branch", "version", "manifestSize", "metadata"):
        assert ours[key] == theirs[key]
    for key in ("createdAt", "updatedAt"):
        gap = datetime.fromisoformat(ours[key]) - datetime.fromisoformat(theirs[key])
        assert abs(gap.total_seconds()) < 300
