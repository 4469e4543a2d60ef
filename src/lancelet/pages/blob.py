"""Blob pages: descriptors of bodies that lie elsewhere in the file (structural.md 7.3).

The page is one of another layout, of packed structs ``{position: u64, size: u64}``; its buffers are the page's own:

=======  =================================  =====================================================
size     position                           meaning
=======  =================================  =====================================================
> 0      of the body in the file            a value
0        0                                  an empty value
0        ``rep`` in bits 0 to 15, ``def``   null, at the layer that the definition level names;
         in bits 16 to 31                   ``rep`` is 0, because blobs do not stand in lists
=======  =================================  =====================================================

``["hello world", null, 100 bytes, ""]``, nulls at level 1::

    (0, 11) (0x10000, 0) (64, 100) (0, 0)

What a page decodes to are the descriptors; those who know the file fetch the bodies, and check where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lancelet.blocks import FixedWidth, Packed
from lancelet.buffers import as_values
from lancelet.codecs import choose
from lancelet.codecs.params import CodecParams
from lancelet.errors import FormatError, UnsupportedError
from lancelet.levels.layers import Layer, Leaf, max_def, max_rep, parse_layers
from lancelet.pages import miniblock
from lancelet.pages.base import ByteRange, EncodedPage, Layout, OpenPage, PagePart, RowRanges
from lancelet.pages.registry import parse_member, register
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lancelet.buffers import Allocate, Data, UInt16Array
    from lancelet.pages.base import PageInfo

    UInt64Array = npt.NDArray[np.uint64]

__all__ = ["Blob", "encode"]

_DEF_SHIFT = 16
_REP_MASK = (1 << _DEF_SHIFT) - 1


# ---------------------------------------------------------------- encoding


def encode(leaf: Leaf, version: Version) -> EncodedPage:
    """Write a page of descriptors, in chunks as the reference does.

    Parameters
    ----------
    leaf
        Its values are packed structs of position and size, with positions and sizes that the file will have; those below a null are
        not looked at. ``None``: all rows are null.
    version
        File version.

    Raises
    ------
    ValueError
        The leaf has lists, or other values.
    """
    from lancelet.pb.encodings21_pb2 import BlobLayout, PageLayout

    if max_rep(leaf.layers):
        raise ValueError("blobs do not stand in lists")
    num_rows = leaf.num_rows
    levels = leaf.def_
    if leaf.values is not None:
        positions, sizes = _descriptors(leaf)
    else:
        positions = sizes = np.zeros(num_rows, np.uint64)
        levels = np.ones(num_rows, np.uint16) if levels is None else levels
    if levels is not None:
        positions = np.where(levels > 0, levels.astype(np.uint64) << _DEF_SHIFT, positions)
        sizes = np.where(levels > 0, np.uint64(0), sizes)
    values = _packed(positions, sizes)
    inner = Leaf(num_rows, (Layer.ALL_VALID_ITEM,), None, None, num_rows, values)
    params = CodecParams(version)
    page = miniblock.encode(
        inner,
        choose.chunk_codec(values, params).encode_chunks(values, params.limits),
        level_codec=lambda block, counts: choose.level_codec(block, counts, params),
        large=version >= Version.V2_2,
    )
    message = BlobLayout(inner_layout=page.message, layers=leaf.layers)  # type: ignore[arg-type]
    return EncodedPage(page.buffers, PageLayout(blob_layout=message), num_rows)


def _packed(positions: UInt64Array, sizes: UInt64Array) -> Packed:
    num_rows = len(positions)
    return Packed(num_rows, (FixedWidth(64, num_rows, positions), FixedWidth(64, num_rows, sizes)))


def _descriptors(leaf: Leaf) -> tuple[UInt64Array, UInt64Array]:
    """Return positions and sizes of a leaf, one a row."""
    block = leaf.values
    fields = block.children if isinstance(block, Packed) else ()
    if len(fields) != 2 or not all(isinstance(field, FixedWidth) and field.bits == 64 for field in fields):
        raise FormatError("descriptors of blobs must be structs of position and size of 64 bits")
    positions, sizes = (as_values(field.data, 64) for field in fields if isinstance(field, FixedWidth))
    return positions, sizes


# ---------------------------------------------------------------- decoding


@register
@dataclass(frozen=True, slots=True, eq=False)
class Blob(Layout):
    """The layout as its message describes it.

    Attributes
    ----------
    layers
        Inner-most first.
    inner
        Layout of the descriptors.
    """

    name: ClassVar[str] = "blob_layout"

    layers: tuple[Layer, ...]
    inner: Layout

    @classmethod
    def from_message(cls, message: Any, page: PageInfo) -> Blob:
        """Check the message, and that of the descriptors (structural.md 10, check 26)."""
        layers = parse_layers(message.layers)
        if max_rep(layers):
            raise UnsupportedError(
                "blobs inside of lists are not handled; what is stored of them is incomplete"
            )
        member = message.inner_layout.WhichOneof("layout")
        if member is None:
            raise FormatError("a page of blobs has no layout of its descriptors")
        if member == cls.name:
            raise FormatError("the descriptors of blobs are blobs themselves")
        return cls(layers, parse_member(member, getattr(message.inner_layout, member), page))

    def head_ranges(self) -> tuple[ByteRange, ...]:
        """Return what the layout of the descriptors needs."""
        return self.inner.head_ranges()

    def open(self, heads: Sequence[Data]) -> OpenPage:
        """Open the page of descriptors."""
        page = self.inner.open(heads)
        return _BlobPage(self.layers, page, page.num_rows)


@dataclass(frozen=True, slots=True, eq=False)
class _BlobPage(OpenPage):
    """An open page of descriptors.

    Attributes
    ----------
    layers
        Those of the blobs.
    inner
        The page of descriptors.
    """

    layers: tuple[Layer, ...]
    inner: OpenPage
    num_rows: int

    def plan(self, rows: RowRanges) -> PagePart:
        """Say which bytes hold the descriptors of `rows`."""
        return self.inner.plan(rows)

    def decode(self, part: PagePart, data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Decode the descriptors; nulls become levels (check 26)."""
        found = self.inner.decode(part, data, allocate)
        if max_rep(found.layers) or (found.def_ is not None and found.def_.any()):
            raise FormatError("descriptors of blobs stand in lists, or are null")
        positions, sizes = _descriptors(found)
        if not len(positions) == len(sizes) == part.num_rows:
            raise FormatError(f"there are {len(positions)} descriptors for {part.num_rows} blobs")
        nulls = (sizes == 0) & (positions != 0)
        leaf = Leaf(part.num_rows, self.layers, None, None, part.num_rows, found.values)
        if not nulls.any():
            return leaf
        layers = self.layers
        if layers == (Layer.ALL_VALID_ITEM,):
            # 4.0.1 names the layers of the first batch, and writes the nulls of later ones all the same.
            layers = (Layer.NULLABLE_ITEM,)
        return replace(leaf, layers=layers, def_=_levels(positions, nulls, max_def(layers)), structure=None)


def _levels(positions: UInt64Array, nulls: npt.NDArray[np.bool_], top: int) -> UInt16Array:
    """Return the definition levels that the positions of null descriptors say."""
    rep, def_ = positions & np.uint64(_REP_MASK), positions >> np.uint64(_DEF_SHIFT)
    wrong = nulls & ((rep != 0) | (def_ == 0) | (def_ > top))
    if wrong.any():
        position = int(positions[wrong.argmax()])
        raise FormatError(
            f"a null blob with the levels {position:#x}; the layers allow levels from 1 to {top} in bits 16 to 31"
        )
    return np.where(nulls, def_, np.uint64(0)).astype(np.uint16)
