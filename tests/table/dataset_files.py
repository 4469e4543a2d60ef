"""Which files a dataset has, and which its manifests name; found out apart from what is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.table.formats.manifest import list_versions, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.storage import Store


def files_below(root: Path) -> set[str]:
    """All files, whatever their names."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def files_named(store: Store, root: Path) -> set[str]:
    """What the manifests that are there name, and these manifests."""
    found = set()
    for _, path in list_versions(store):
        manifest = read_manifest(store, path)
        found |= {path, f"_transactions/{manifest.transaction_file}"}
        for fragment in manifest.fragments:
            for file in fragment.files:
                found.add(f"data/{file.path}")
                folder = root / "data" / file.path.removesuffix(".lance")
                found |= {f"data/{folder.name}/{blob.name}" for blob in folder.glob("*.blob")}
            if fragment.deletion_file is not None:
                found.add(fragment.deletion_file.path(fragment.id))
    return found
