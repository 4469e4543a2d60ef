"""Where a dataset lies: the store that a user's argument means."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError, UnsupportedError
from lancelet.storage import LocalStore, Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lancelet.pb import table_pb2

__all__ = ["base_store", "open_store"]

#: Not ``C:``: a letter alone is a drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)


def open_store(uri: Any) -> Store:
    """Return the store of a dataset.

    Parameters
    ----------
    uri
        Path of a folder, ``file://`` URI, a store, or an object with a `store`, as a dataset is.

    Raises
    ------
    OptionError
        The argument is none of these.
    UnsupportedError
        It is a URI of a kind that is not handled.
    """
    if isinstance(uri, Store):
        return uri
    own = getattr(uri, "store", None)
    if isinstance(own, Store):
        return own
    if not isinstance(uri, (str, os.PathLike)):
        raise OptionError(f"a dataset lies in a folder or a store, not in {type(uri).__name__}")
    path = os.fspath(uri)
    if isinstance(path, str) and (found := _SCHEME.fullmatch(path)):
        if found[1].lower() != "file":
            raise UnsupportedError(
                f"{path}: datasets on {found[1]}:// are not handled; local folders are, and any lancelet.storage.Store"
            )
        from urllib.parse import unquote

        path = unquote(found[2].removeprefix("localhost"))
    return LocalStore(path)


def base_store(base_paths: Mapping[int, table_pb2.BasePath], base_id: int) -> Store:
    """Return the store of a base: another dataset, some of whose files belong to this one too (dataset.md 2.6).

    Parameters
    ----------
    base_paths
        The bases of a manifest, by id.
    base_id
        The one that is meant.

    Raises
    ------
    UnsupportedError
        There is no such base, or it is no dataset in a local folder.
    """
    base = base_paths.get(base_id)
    if base is None:
        raise UnsupportedError(f"a file lies in base path {base_id}, of which nothing is known here")
    if not base.is_dataset_root:
        raise UnsupportedError(
            f"a file lies in base path {base_id}, {base.path!r}, which is no dataset; that is not read"
        )
    return open_store(base.path)
