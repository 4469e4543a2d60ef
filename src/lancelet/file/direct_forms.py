"""What flat columns and mini-block pages are like, in the words of the kernels of :mod:`lancelet.file.direct`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lancelet.blocks.arrow import fixed_bits, is_variable_width, offset_bits
from lancelet.codecs.binary import Variable
from lancelet.codecs.bitpack import InlineBitpacking, OutOfLineBitpacking
from lancelet.codecs.flat import Flat
from lancelet.codecs.fsst import Fsst
from lancelet.codecs.general import General
from lancelet.codecs.rle import Rle
from lancelet.errors import OptionError
from lancelet.levels import Layer
from lancelet.pages.miniblock import MiniBlock
from lancelet.schema.logical import flat_type_of

if TYPE_CHECKING:
    from lancelet.codecs.base import BlockCodec, ChunkCodec
    from lancelet.pages.base import Layout

__all__ = ["Form", "Kind", "form_of", "kind_of"]


#: Widest values that the kernel counts.
_MAX_BITS = 2**31 - 1


class Kind(NamedTuple):
    """What the values of a column are like.

    Attributes
    ----------
    is_variable
        Values have lengths of their own.
    bits
        Width of the offsets, or of the values.
    is_text
        They must be UTF-8.
    """

    is_variable: bool
    bits: int
    is_text: bool


@lru_cache(maxsize=1024)  # columns share few types
def kind_of(logical_type: str) -> Kind | None:
    """Return what values of a type without children are like; ``None`` if it is not one of those that are read here."""
    type_ = flat_type_of(logical_type)
    if is_variable_width(type_):
        return Kind(True, offset_bits(type_), pa.types.is_string(type_) or pa.types.is_large_string(type_))
    if pa.types.is_nested(type_) or pa.types.is_dictionary(type_):
        return None
    try:
        bits = fixed_bits(type_)
    except OptionError:
        return None
    return Kind(False, bits, False) if 0 < bits <= _MAX_BITS else None


class Form(NamedTuple):
    """What a page is like, in the words of the kernel.

    Attributes
    ----------
    numbers
        ``levels``, ``level_width``, ``values``, ``bits`` and ``large`` of :meth:`kernels.DirectColumns.add_page`.
    symbols
        Symbol table.
    num_rows
        Rows of the page, which its message repeats.
    num_buffers
        Buffers of the page: chunk words, chunks, dictionary.
    items
        What the dictionary is like: its kind (0: there is none, 1: values of one width, 2: of variable width), bits of a value,
        whether it is an LZ4 block, and how many items it has. ``None``: it must be decoded by its codec.
    """

    numbers: tuple[int, int, int, int, bool]
    symbols: bytes | None
    num_rows: int
    num_buffers: int
    items: tuple[int, int, bool, int] | None

    @property
    def row(self) -> tuple[int, ...]:
        """A row of the forms of :meth:`kernels.DirectColumns.add_pages`."""
        return (*self.numbers, self.num_rows, *(self.items or _NO_ITEMS))


_NO_ITEMS = (0, 0, False, 0)


def form_of(layout: Layout) -> Form | None:
    """Return what a page is like; ``None`` when the kernel has no words for it."""
    if not isinstance(layout, MiniBlock):
        return None
    levels, values = _level_form(layout), _value_form(layout.value_codec)
    if levels is None or values is None:
        return None
    items: tuple[int, int, bool, int] | None = _NO_ITEMS
    if layout.dictionary_codec is not None:
        kind = _items_form(layout.dictionary_codec)
        items = None if kind is None else (*kind, layout.num_dictionary_items)
    numbers = (*levels, *values[:2], layout.large)
    return Form(numbers, values[2], layout.page.num_rows, len(layout.page.buffers), items)


#: Forms of small messages. The files of a table repeat them: numbers of rows, widths and kinds are much the same in all of them.
_forms: dict[tuple[str, bytes], Form] = {}
_MOST_FORMS = 1024
_MOST_BYTES = 1024


def known_form(message: tuple[str, bytes]) -> Form | None:
    """Return the form that a page with this message (name and bytes) had in any file; the kernel checks what a page says itself."""
    return _forms.get(message)


def remember_form(message: tuple[str, bytes], form: Form) -> None:
    """Keep the form of a message for :func:`known_form`, unless it has a symbol table, which comes only once."""
    if form.symbols is not None or len(message[1]) > _MOST_BYTES:
        return
    if len(_forms) >= _MOST_FORMS:
        _forms.clear()
    _forms[message] = form


def _items_form(codec: BlockCodec) -> tuple[int, int, bool] | None:
    match codec:
        case Flat(bits=bits):
            return 1, bits, False
        case Variable():  # blocks tell the width of their offsets
            return 2, 0, False
        case General(scheme="lz4", values=Flat(bits=bits)):
            return 1, bits, True
        case General(scheme="lz4", values=Variable()):
            return 2, 0, True
    return None


def _level_form(layout: MiniBlock) -> tuple[int, int] | None:
    if layout.layers == (Layer.ALL_VALID_ITEM,):
        return 0, 0
    if layout.layers != (Layer.NULLABLE_ITEM,):
        return None
    match layout.def_codec:
        case Flat(bits=16):
            return 1, 0
        case InlineBitpacking(bits=16):
            return 2, 0
        case OutOfLineBitpacking(bits=16, width=width):
            return 3, width
        case Rle(values=Flat(bits=16), run_lengths=Flat(bits=8)):
            return 4, 0
    return None


def _value_form(codec: ChunkCodec) -> tuple[int, int, bytes | None] | None:
    match codec:
        case Flat(bits=bits) if bits == 1 or bits % 8 == 0:
            return 0, bits, None
        case InlineBitpacking(bits=bits):
            return 1, bits, None
        case Rle(values=Flat(bits=bits), run_lengths=Flat(bits=8)):
            return 2, bits, None
        case Variable(offset_bits=bits):
            return 3, bits, None
        case Fsst(values=Variable(offset_bits=bits), symbol_table=table):
            return 4, bits, table
    return None
