"""Where a dataset lies: the store that a user's argument means."""

from __future__ import annotations

import os
import re
from typing import Any

from lancelet.errors import OptionError, UnsupportedError
from lancelet.storage import LocalStore, Store

__all__ = ["open_store"]

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
