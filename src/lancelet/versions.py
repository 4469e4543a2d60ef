"""The versions of the file format: their names, their numbers in the footer, and what their pages are called.

=======  =================  ============================================  ==========================
version  footer             message of a page                             other names
=======  =================  ============================================  ==========================
2.0      (0, 3) or (2, 0)   ``lance.encodings.ArrayEncoding``             ``0.3``
2.1      (2, 1)             ``lance.encodings21.PageLayout``
2.2      (2, 2)             ``lance.encodings21.PageLayout``              ``stable``
2.3      (2, 3)             ``lance.encodings23.PlanarLayout``; drafts    ``next``
                            of 2.3: ``lance.encodings21.PageLayout``
=======  =================  ============================================  ==========================

Names that move (``stable``, ``next``) are never stored. Source: container.md 1, versions.md 1 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lancelet.errors import FormatError, OptionError

__all__ = ["COLUMN_ENCODING", "Version"]

#: Message of a column, in every version.
COLUMN_ENCODING = "lance.encodings.ColumnEncoding"


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the container must know of one version."""

    text: str
    footer: tuple[int, int]
    page_types: tuple[str, ...]


class Version(IntEnum):
    """A version of the file format; later versions compare greater."""

    V2_0 = 20
    V2_1 = 21
    V2_2 = 22
    V2_3 = 23

    @property
    def text(self) -> str:
        """The name of the version, such as ``"2.1"``."""
        return _FACTS[self].text

    def __str__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)

    @property
    def footer(self) -> tuple[int, int]:
        """The numbers (major, minor) that a writer puts into the footer."""
        return _FACTS[self].footer

    @property
    def page_types(self) -> tuple[str, ...]:
        """Full names of the messages that describe a page of this version."""
        return _FACTS[self].page_types

    def allows_page_type(self, type_name: str) -> bool:
        """Tell whether a page message may stand in a file of this version.

        Messages that no version of the format owns belong to plug-ins and may stand anywhere.
        """
        return type_name in self.page_types or type_name not in _KNOWN_PAGE_TYPES

    @classmethod
    def parse(cls, name: str | Version) -> Version:
        """Find the version that a user asks for.

        Parameters
        ----------
        name
            A version, or one of ``2.0``, ``2.1``, ``2.2``, ``2.3``, ``0.3`` (2.0), ``stable`` (2.2), ``next``
            (2.3) in any case.

        Raises
        ------
        OptionError
            The name is unknown, or means the first format (``legacy``, ``0.1``), which is not written here.

        Examples
        --------
        >>> Version.parse("Stable").text
        '2.2'
        """
        if isinstance(name, cls):
            return name
        found = _NAMES.get(name.lower()) if isinstance(name, str) else None
        if found is None:
            raise OptionError(f"unknown file version {name!r}; allowed are {', '.join(_NAMES)}")
        return found

    @classmethod
    def from_footer(cls, major: int, minor: int) -> Version:
        """Find the version by the two numbers of a footer.

        Raises
        ------
        FormatError
            The numbers mean a file of the first format, or nothing that is known.
        """
        if (major, minor) in _V1_FOOTERS:
            raise FormatError(
                f"this is a v1 (legacy) file, its footer says {major}.{minor}; only versions 2.x can be read"
            )
        found = _FOOTERS.get((major, minor))
        if found is None:
            raise FormatError(f"unknown file version {major}.{minor} in the footer")
        return found


_ARRAY_ENCODING = "lance.encodings.ArrayEncoding"
_PAGE_LAYOUT = "lance.encodings21.PageLayout"
_PLANAR_LAYOUT = "lance.encodings23.PlanarLayout"

_FACTS = {
    Version.V2_0: _Facts("2.0", (0, 3), (_ARRAY_ENCODING,)),
    Version.V2_1: _Facts("2.1", (2, 1), (_PAGE_LAYOUT,)),
    Version.V2_2: _Facts("2.2", (2, 2), (_PAGE_LAYOUT,)),
    Version.V2_3: _Facts("2.3", (2, 3), (_PLANAR_LAYOUT, _PAGE_LAYOUT)),
}
_KNOWN_PAGE_TYPES = frozenset(name for facts in _FACTS.values() for name in facts.page_types)
_NAMES = {facts.text: version for version, facts in _FACTS.items()} | {
    "0.3": Version.V2_0,
    "stable": Version.V2_2,
    "next": Version.V2_3,
}
_FOOTERS = {facts.footer: version for version, facts in _FACTS.items()} | {(2, 0): Version.V2_0}
_V1_FOOTERS = ((0, 0), (0, 1), (0, 2))
