"""Versions that nobody sees: put under a number that was free again, because its version had been cleaned up.

A writer looks at the latest version, 4, and is about to put 5. Meanwhile others put 5 and 6, and a clean-up removes 4 and 5. The
writer's put succeeds, but 6 has nothing of what it changes, and neither will any version after it. Nothing can forbid the put; so
the writer looks once more after it. Manifests do not say what they were made from: whether 6 knows 5 is told by what is in them.
Where that tells nothing, nothing is taken back.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from lancelet.errors import LanceletError
from lancelet.table.formats.manifest import latest_path, list_versions, read_manifest
from lancelet.table.formats.operations import (
    Append,
    CreateIndex,
    Delete,
    Project,
    ReserveFragments,
    UpdateConfig,
)
from lancelet.table.formats.transaction import Transaction

if TYPE_CHECKING:
    from lancelet.storage import Store
    from lancelet.table.formats.manifest import Manifest
    from lancelet.table.formats.operations import Operation

__all__ = ["Fate", "fate_of"]

#: Operations after which every fragment is there that was there before.
_KEEPING = (Append, CreateIndex, Project, ReserveFragments, UpdateConfig)
#: Operations after which schema, configuration and metadata are as before.
_PLAIN = (Append, CreateIndex, Delete, ReserveFragments)
#: How often newer versions are looked for, if they vanish before they can be read.
_ATTEMPTS = 5


class Fate(Enum):
    """What became of a version that was put."""

    SEEN = "it is the latest, or newer ones were made from it"
    UNSEEN = "newer ones know nothing of it"
    UNKNOWN = "there are newer ones, and what they were made from is gone"


def fate_of(store: Store, mine: Manifest, base: Manifest | None) -> Fate:
    """Tell what became of a version that was just put.

    Parameters
    ----------
    store
        The dataset.
    mine
        The version.
    base
        The version that it was made from; ``None``: it creates the dataset.

    Returns
    -------
    Fate
        ``SEEN`` too where the store cannot be looked at: the version is there, and in almost all cases seen.
    """
    for _ in range(_ATTEMPTS):
        try:
            if latest_path(store) == mine.path:
                return Fate.SEEN
            paths = dict(list_versions(store))
        except (OSError, LanceletError):
            return Fate.SEEN
        newer = [path for number, path in sorted(paths.items()) if number > mine.version]
        if not newer:
            return Fate.SEEN
        # Nothing was removed, as far as one can see; but tags keep single versions.
        otherwise = Fate.SEEN if base is not None and base.version in paths else Fate.UNKNOWN
        first, last = _read(store, newer[0]), _read(store, newer[-1])
        if first is not None and last is not None:
            return _told_by(mine, base, first, last) or otherwise
    return Fate.UNKNOWN


def _told_by(mine: Manifest, base: Manifest | None, first: Manifest, last: Manifest) -> Fate | None:
    """Return what the oldest and the newest of the newer versions tell; ``None``: nothing."""
    own = _files(mine) - (_files(base) if base else set())
    if own and (_names(first, own) or _names(last, own)):
        return Fate.SEEN
    if _most_fragment_id(last) < _most_fragment_id(mine):  # it never decreases
        return Fate.UNSEEN
    operation = _operation(first) if first.version == mine.version + 1 else None
    if isinstance(operation, _KEEPING):
        if own:
            return Fate.UNSEEN
        removed = (_ids(base) if base else set()) - _ids(mine)
        if removed:
            return Fate.UNSEEN if removed & _ids(first) else Fate.SEEN
    if isinstance(operation, _PLAIN) and _state(first) != _state(mine):
        return Fate.UNSEEN
    if isinstance(operation, _PLAIN) and (base is None or _state(base) != _state(mine)):
        return Fate.SEEN
    return None


def _read(store: Store, path: str) -> Manifest | None:
    try:
        return read_manifest(store, path)
    except (OSError, LanceletError):  # gone, or not for us to judge
        return None


def _files(manifest: Manifest) -> set[str]:
    """Return the names of all data files, and what tells deletion files apart."""
    found = {file.path for fragment in manifest.fragment_messages for file in fragment.files}
    shrunk = [one for one in manifest.fragment_messages if one.HasField("deletion_file")]
    return found | {f"{one.id}/{one.deletion_file.id}/{one.deletion_file.read_version}" for one in shrunk}


def _names(manifest: Manifest, files: set[str]) -> bool:
    """Tell whether a version names one of some files, or removes what was in it: a rewrite says which files it replaces."""
    if not files.isdisjoint(_files(manifest)):
        return True
    changed = manifest.transaction_bytes or b""
    return any(name.encode() in changed for name in files)


def _ids(manifest: Manifest) -> set[int]:
    return {fragment.id for fragment in manifest.fragment_messages}


def _most_fragment_id(manifest: Manifest) -> int:
    found = manifest.max_fragment_id
    return -1 if found is None else found


def _state(manifest: Manifest) -> tuple[Any, ...]:
    """Return what is not rows: schema, configuration, metadata."""
    message = manifest.message
    fields = b"".join(field.SerializeToString(deterministic=True) for field in message.fields)
    return fields, dict(message.schema_metadata), manifest.config, manifest.table_metadata


def _operation(manifest: Manifest) -> Operation | None:
    """Return what made a version, if the manifest itself says so."""
    if manifest.transaction_bytes is None:
        return None
    try:
        return Transaction.parse(manifest.transaction_bytes).operation
    except LanceletError:
        return None
