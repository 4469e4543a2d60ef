"""Tags: names for versions, which clean-up keeps (dataset.md 2.6)."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.table.formats.manifest import latest_manifest, manifest_of
from lancelet.table.formats.names import TAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lancelet.storage import Store

__all__ = ["Tag", "Tags", "held", "read_tags"]

#: ASCII only: the reference takes other letters, and can then no longer list its tags.
_NAME = re.compile(r"(?!\.)(?!.*\.\.)(?!.*\.lock$)[A-Za-z0-9._-]{1,200}(?<!\.)", re.ASCII)
#: A tag is one line of JSON; more is none.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Tag:
    """A name for a version. ``tag["version"]`` is ``tag.version``, since pylance gives mappings.

    Attributes
    ----------
    version
        The version.
    manifest_size
        Size of its manifest in bytes; ``None``: not known.
    branch
        The branch of the version; ``None``: the main one.
    created_at, updated_at
        When the tag was made, and last moved; ``None``: not known.
    metadata
        What else was noted.
    """

    version: int
    manifest_size: int | None = None
    branch: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Tag:
        """Read a stored tag.

        Raises
        ------
        FormatError
            It is damaged.
        """
        try:
            found = json.loads(bytes(data))
            if not isinstance(found, dict):
                raise TypeError("it is no object")
            version = found["version"]
            if isinstance(version, bool) or not isinstance(version, int) or version < 0:
                raise TypeError(f"its version is {version!r}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(f"a tag is damaged: {type(error).__name__}: {error}") from None
        size, metadata = found.get("manifestSize"), found.get("metadata")
        branch, created, updated = (
            text if isinstance(text := found.get(key), str) else None
            for key in ("branch", "createdAt", "updatedAt")
        )
        noted = (
            {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}
        )
        return cls(version, size if isinstance(size, int) else None, branch, created, updated, noted)

    def __getitem__(self, name: str) -> Any:
        if name not in self.__slots__:
            raise KeyError(name)
        return getattr(self, name)

    def serialize(self) -> bytes:
        """Return the tag as stored."""
        stored: dict[str, Any] = {"branch": self.branch, "version": self.version}
        if self.created_at is not None:
            stored["createdAt"] = self.created_at
        if self.updated_at is not None:
            stored["updatedAt"] = self.updated_at
        stored["manifestSize"] = self.manifest_size
        stored["metadata"] = dict(self.metadata)
        return json.dumps(stored, indent=2).encode()


class Tags:
    """The tags of a dataset. Every method looks at the store anew.

    Parameters
    ----------
    store
        The dataset.
    current
        The version that tags name by default; ``None``: the latest.
    """

    def __init__(self, store: Store, current: int | None = None) -> None:
        self._store = store
        self._current = current

    def list(self) -> dict[str, Tag]:
        """Return all tags by name, in the order of the names.

        Raises
        ------
        FormatError
            A tag is damaged.
        """
        return read_tags(self._store)

    def list_ordered(self, order: str | None = None) -> Sequence[tuple[str, Tag]]:
        """Return all tags ordered by version, the newest first (``"desc"``, the default) or last (``"asc"``); then by name.

        Raises
        ------
        OptionError
            `order` is something else.
        """
        if order not in ("asc", "desc", None):
            raise OptionError(f"order is {order!r}; it may be 'asc' or 'desc'")
        sign = 1 if order == "asc" else -1
        return sorted(self.list().items(), key=lambda item: (sign * item[1].version, item[0]))

    def get_version(self, tag: str) -> int:
        """Return the version that a tag names.

        Raises
        ------
        OptionError
            There is no such tag.
        UnsupportedError
            The tag names a version of a branch.
        """
        found = self._read(tag)
        if found.branch is not None:
            raise UnsupportedError(
                f"tag {tag!r} names a version of branch {found.branch!r}; branches are not read"
            )
        return found.version

    def create(self, tag: str, reference: int | str | None = None) -> None:
        """Give a version a name: one of a number, that of another tag, or by default the version of the dataset.

        Raises
        ------
        OptionError
            The name is taken, or is none that all readers know; or there is no such version.
        """
        now = _now()
        version = self._version_of(reference)
        made = Tag(version, self._manifest_size(version), None, now, now)
        try:
            self._store.put_if_absent(_path(tag), made.serialize())
        except FileExistsError:
            raise OptionError(f"tag {tag!r} exists already; update() moves it") from None
        try:
            self._manifest_size(version)
        except OptionError:  # a clean-up was faster
            self._store.delete(_path(tag))
            raise

    def update(self, tag: str, reference: int | str | None = None) -> None:
        """Let a tag name another version; see :meth:`create`.

        Raises
        ------
        OptionError
            There is no such tag or version.
        """
        found = self._read(tag)
        version = self._version_of(reference)
        size = self._manifest_size(version)
        moved = Tag(version, size, None, found.created_at, _now(), found.metadata)
        self._store.put(_path(tag), moved.serialize())
        try:
            self._manifest_size(version)
        except OptionError:  # a clean-up was faster
            self._store.put(_path(tag), found.serialize())
            raise

    def delete(self, tag: str) -> None:
        """Remove a tag; the version stays, until it is cleaned up.

        Raises
        ------
        OptionError
            There is no such tag.
        """
        try:
            self._store.delete(_path(tag))
        except FileNotFoundError:
            raise self._unknown(tag) from None

    def _version_of(self, reference: int | str | None) -> int:
        if isinstance(reference, str):
            return self.get_version(reference)
        if reference is not None:
            return reference
        if self._current is not None:
            return self._current
        latest = latest_manifest(self._store)
        if latest is None:
            raise OptionError("there is no version that a tag could name")
        return latest.version

    def _read(self, tag: str) -> Tag:
        try:
            return _read(self._store, _path(tag))
        except FileNotFoundError:
            raise self._unknown(tag) from None

    def _unknown(self, tag: str) -> OptionError:
        known = ", ".join(map(repr, sorted(map(_name_of, _paths(self._store))))) or "none"
        return OptionError(f"there is no tag {tag!r}; there are {known}")

    def _manifest_size(self, version: int) -> int:
        try:
            return self._store.size(manifest_of(self._store, version).path)
        except FileNotFoundError:
            raise OptionError(f"there is no version {version}") from None


@contextmanager
def held(store: Store, versions: Iterable[int]) -> Iterator[bool]:
    """Keep versions from being cleaned up for a moment, by tags of their own; gives whether all of them are there.

    A process that is killed meanwhile leaves the tags, whose names begin with ``held-``.
    """
    tags, names = Tags(store), []
    try:
        for version in sorted(set(versions)):
            name = f"held-{uuid4().hex[:12]}"
            try:
                tags.create(name, version)
            except OptionError:
                yield False
                return
            names.append(name)
        yield True
    finally:
        for name in names:
            with suppress(OSError, LanceletError):
                tags.delete(name)


def read_tags(store: Store) -> dict[str, Tag]:
    """Return all tags of a dataset by name, in the order of the names.

    Raises
    ------
    FormatError
        A tag is damaged.
    """
    found = {}
    for path in _paths(store):
        try:
            found[_name_of(path)] = _read(store, path)
        except FileNotFoundError:  # deleted meanwhile
            continue
    return dict(sorted(found.items()))


def _paths(store: Store) -> list[str]:
    return [path for path in store.list(TAGS) if path.endswith(".json")]


def _name_of(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path[len(TAGS) + 1 : -len(".json")])


def _read(store: Store, path: str) -> Tag:
    size = store.size(path)
    try:
        if size > _MAX_BYTES:
            raise FormatError(f"{size} bytes are too many for a tag")
        return Tag.parse(store.get_range(path, 0, size))
    except FormatError as error:
        raise error.locate(path=f"{store.name}/{path}") from None


def _path(tag: str) -> str:
    if not isinstance(tag, str) or _NAME.fullmatch(tag) is None:
        raise OptionError(
            f"{tag!r} is no name of a tag: letters, digits, '.', '-' and '_' are allowed, up to 200 of them, "
            "without a dot at either end, two dots in a row, or .lock at the end"
        )
    return f"{TAGS}/{tag}.json"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
