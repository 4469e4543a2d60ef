"""Arguments that pylance has beside those of lancelet, so that programs which give them need no change."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from lancelet.errors import OptionError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "CLEANUP_REFUSED",
    "COMMIT_REFUSED",
    "OPEN_REFUSED",
    "SCAN_HINTS",
    "SCAN_REFUSED",
    "WRITE_IGNORED",
    "WRITE_REFUSED",
    "check_others",
    "refuse",
]

#: Say how indices and searches are used, of which scans here use none.
SCAN_HINTS = ("prefilter", "use_stats", "use_scalar_index", "disable_scoring_autoprojection")
SCAN_REFUSED = (
    "nearest",
    "full_text_query",
    "index_segments",
    "fast_search",
    "order_by",
    "batch_size_bytes",
    "include_deleted_rows",
    "scan_stats_callback",
    "row_addr_allowlist",
    "row_addr_blocklist",
)
OPEN_REFUSED = ("namespace_client", "table_id", "base_store_params")
WRITE_REFUSED = (
    "commit_lock",
    "storage_options",
    "use_legacy_format",
    "auto_cleanup_options",
    "initial_bases",
    "target_bases",
    "target_all_bases",
    "base_store_params",
    "blob_pack_file_size_threshold",
    "namespace_client",
    "table_id",
)
#: Objects outside of the dataset are never looked at; rows get ids when they are committed; nothing is kept open.
WRITE_IGNORED = ("allow_external_blob_outside_bases", "enable_stable_row_ids", "session")
COMMIT_REFUSED = (
    "namespace_client",
    "table_id",
    "namespace_client_managed_versioning",
    "base_store_params",
    "commit_timeout",
)
CLEANUP_REFUSED = ("versions", "delete_rate_limit", "delete_concurrency")


def refuse(given: Mapping[str, Any]) -> None:
    """Check that arguments which are not supported are left out: ``None``, ``False`` or empty.

    Raises
    ------
    UnsupportedError
        One is given; the message names it.
    """
    for name, value in given.items():
        is_empty = isinstance(value, (dict, list, tuple)) and not value
        if value is not None and value is not False and not is_empty:
            raise UnsupportedError(f"{name} is not supported; it may be None")  # values may be secrets


def check_others(
    others: Mapping[str, Any], known: Iterable[str], refused: Iterable[str], ignored: Iterable[str] = ()
) -> None:
    """Check keyword arguments that a function does not name.

    Parameters
    ----------
    others
        The arguments.
    known
        Names of all that the function takes and does something with, for the message.
    refused
        Names that may be given as long as their values ask for nothing.
    ignored
        Names that may be given with any value.

    Raises
    ------
    OptionError
        A name is unknown.
    UnsupportedError
        A value asks for something that is not supported.
    """
    for name in others:
        if name not in refused and name not in ignored:
            known = sorted(known)
            near = difflib.get_close_matches(name, known, n=3)
            said = f"the nearest are {', '.join(near)}" if near else f"there are {', '.join(known)}"
            raise OptionError(f"there is no option {name!r}; {said}")
    refuse({name: value for name, value in others.items() if name in refused})
