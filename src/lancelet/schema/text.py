"""Text as Arrow and the format have it: Unicode. Python's strings may hold halves of surrogate pairs too, which are none."""

from __future__ import annotations

from typing import Any

__all__ = ["is_text"]


def is_text(value: Any) -> bool:
    r"""Tell whether something is text that can be stored.

    Examples
    --------
    >>> is_text("é"), is_text("\ud800"), is_text(b"e")
    (True, False, False)
    """
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
