"""Versions that nobody sees: put under a number that was free again, because its version had been cleaned up.

A writer looks at the latest version, 4, and is about to put 5. Meanwhile others put 5 and 6, and a clean-up removes 4 and 5. The
writer's put succeeds, but 6 has nothing of what it changes, and neither will any version after it. Nothing can forbid the put; so
the writer looks once more after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.errors import LanceletError
from lancelet.table.manifest import latest_path, list_versions, read_manifest
from lancelet.table.operations import Append, CreateIndex, Project, ReserveFragments, UpdateConfig
from lancelet.table.transaction import Transaction

if TYPE_CHECKING:
    from lancelet.storage import Store
    from lancelet.table.manifest import Manifest

__all__ = ["is_unseen"]

#: Operations after which every fragment is there that was there before.
_KEEPING = (Append, CreateIndex, Project, ReserveFragments, UpdateConfig)


def is_unseen(store: Store, mine: Manifest, base: Manifest | None) -> bool:
    """Tell whether a version that was just put is one that newer versions know nothing of.

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
    bool
        False too where the store cannot be looked at: the version is there, and in almost all cases seen. Also true where the
        change can be made once more without harm, because it brings no files and nobody can tell.
    """
    try:
        if latest_path(store) == mine.path:
            return False
        paths = dict(list_versions(store))
    except (OSError, LanceletError):
        return False
    newer = [path for number, path in sorted(paths.items()) if number > mine.version]
    if not newer:
        return False
    new_files = _files(mine) - (_files(base) if base else set())
    if base is not None and base.version in paths:
        # Nothing was removed, or the version has a tag. Fragments that are new do not vanish by themselves.
        next_one = _read(store, newer[0])
        return (
            next_one is not None
            and bool(new_files)
            and _keeps_fragments(next_one)
            and not _names(next_one, new_files)
        )
    return not any(
        found is None or _names(found, new_files) for found in (_read(store, path) for path in newer)
    )


def _read(store: Store, path: str) -> Manifest | None:
    try:
        return read_manifest(store, path)
    except (OSError, LanceletError):  # gone, or not for us to judge
        return None


def _files(manifest: Manifest) -> set[str]:
    """Return the names of all data files."""
    return {file.path for fragment in manifest.fragment_messages for file in fragment.files}


def _names(manifest: Manifest, files: set[str]) -> bool:
    """Tell whether a version names one of some data files, or removes what was in it: a rewrite says which files it replaces."""
    if not files.isdisjoint(_files(manifest)):
        return True
    changed = manifest.transaction_bytes or b""
    return any(name.encode() in changed for name in files)


def _keeps_fragments(manifest: Manifest) -> bool:
    if manifest.transaction_bytes is None:
        return False
    try:
        return isinstance(Transaction.parse(manifest.transaction_bytes).operation, _KEEPING)
    except LanceletError:
        return False
