"""Member of ``ArrayEncoding`` -> class that reads it; modules are imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lancelet.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from lancelet.v20.node import Node

__all__ = ["node_class"]

_CLASSES = {
    "flat": ("flat", "Flat"),
    "nullable": ("nullable", "Nullable"),
    "fixed_size_list": ("fsl", "FixedSizeList"),
    "binary": ("binary", "Binary"),
    "dictionary": ("dictionary", "Dictionary"),
    "fsst": ("fsst", "Fsst"),
    "packed_struct": ("packed", "PackedStruct"),
    "bitpacked": ("bitpacked", "Bitpacked"),
    "bitpacked_for_non_neg": ("bitpacked", "BitpackedForNonNeg"),
    "fixed_size_binary": ("fixed_size_binary", "FixedSizeBinary"),
}


def node_class(name: str) -> type[Node]:
    """Return the class that reads the member `name`.

    Raises
    ------
    FormatError
        The member describes a column above leaves, and stands where values are wanted.
    UnsupportedError
        The member is none of a page of version 2.0.
    """
    if name in ("list", "struct"):
        raise FormatError(f"the encoding {name!r} stands where values are needed")
    if name not in _CLASSES:
        raise UnsupportedError(f"the encoding {name!r} is not one of file version 2.0")
    module, class_name = _CLASSES[name]
    found: type[Node] = getattr(import_module(f"lancelet.v20.{module}"), class_name)
    return found
