"""Layouts by the name of their message, as :mod:`lancelet.codecs.registry` does for codecs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError

from lancelet.errors import FormatError, UnsupportedError
from lancelet.pages.base import Layout

if TYPE_CHECKING:
    from lancelet.pages.base import PageInfo

__all__ = ["PAGE_LAYOUT", "parse_page", "register"]

#: Name of the message that holds the built-in layouts.
PAGE_LAYOUT = "lance.encodings21.PageLayout"
#: Pages of version 2.3 as pylance 14 writes it.
_PLANAR_LAYOUT = "lance.encodings23.PlanarLayout"

_MODULES = {
    "mini_block_layout": "miniblock",
    "full_zip_layout": "fullzip",
    "constant_layout": "constant",
    "blob_layout": "blob",
}
_layouts: dict[str, type[Layout]] = {}
#: Those of them whose modules are known to be complete.
_complete: set[str] = set()

L = TypeVar("L", bound=type[Layout])


def register(layout: L) -> L:
    """Class decorator: make `layout` known under its ``name``. A name is taken once."""
    known = _layouts.setdefault(layout.name, layout)
    if known is not layout:
        raise ValueError(f"two layouts have the name {layout.name!r}: {known} and {layout}")
    return layout


def parse_page(name: str, value: bytes, page: PageInfo) -> Layout:
    """Make the layout of a page from its message's full `name` and serialised `value`.

    Raises
    ------
    FormatError
        The message cannot be parsed, is empty, or contradicts the page.
    UnsupportedError
        No layout of this name is registered.
    """
    if name != PAGE_LAYOUT:
        if name == _PLANAR_LAYOUT:
            raise UnsupportedError("pages of the dialect 2.3 as of pylance 14 (PlanarLayout) are not read")
        if name not in _layouts:
            raise UnsupportedError(f"pages of type {name!r} are not known here")
        return _layouts[name].from_message(value, page)
    from lancelet.pb.encodings21_pb2 import PageLayout

    try:
        message = PageLayout.FromString(value)
    except DecodeError as error:
        raise FormatError(f"the page's layout cannot be parsed: {error}") from None
    member = message.WhichOneof("layout")
    if member is None:
        raise UnsupportedError("the page's layout is empty, or newer than this release knows")
    return parse_member(member, getattr(message, member), page)


def parse_member(member: str, message: object, page: PageInfo) -> Layout:
    """Make the layout of one member of ``PageLayout``."""
    if member not in _complete:
        # A layout is known before the rest of its module, which another thread may be importing now; the import waits for it.
        try:
            import_module(f"lancelet.pages.{_MODULES[member]}")
        except ModuleNotFoundError:
            raise UnsupportedError(f"pages of the layout {member!r} are not handled yet") from None
        _complete.add(member)
    return _layouts[member].from_message(message, page)
