"""Which layout for these rows of a leaf column: structural.md 8.

The order: nothing but nulls, packed structs, one value only, a dictionary, then mini-block for narrow values and full-zip for wide
ones. Packed structs are mini-block if all children have one width, and otherwise full-zip, whatever the user asks for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.blocks import Dictionary, FixedSizeList, FixedWidth, Packed, VariableWidth
from lancelet.blocks import dictionary as dictionaries
from lancelet.blocks.stats import Stats
from lancelet.buffers import allocate, as_bytes, as_values, nbytes
from lancelet.codecs import choose, cost
from lancelet.errors import OptionError
from lancelet.levels.layers import max_visible
from lancelet.pages import constant, fullzip, miniblock
from lancelet.pages.base import DoesNotFit
from lancelet.pages.small import SMALL_BYTES, encode_small
from lancelet.versions import Version

if TYPE_CHECKING:
    import numpy.typing as npt

    from lancelet.blocks import Block
    from lancelet.buffers import Int64Array
    from lancelet.codecs.base import BlockCodec, EncodedBlocks
    from lancelet.codecs.params import CodecParams
    from lancelet.levels import Leaf
    from lancelet.pages.base import EncodedPage

__all__ = ["NARROW_BYTES", "PageParams", "encode_leaf"]

#: Values of fewer bytes go to mini-block pages, others to full-zip (structural.md 8.2).
NARROW_BYTES = 256

# The probe before a dictionary is built: from so many values on, so many in evenly spaced stretches, and the largest part
# of them that may be distinct.
_PROBE_FROM, _PROBE_VALUES, _PROBE_STRETCHES, _PROBE_MAX_RATIO = 1024, 4096, 32, 0.98


#: What a chunk takes beside its levels and values: word, header, padding.
_CHUNK_BYTES = 32


@dataclass(frozen=True, slots=True)
class PageParams:
    """Parameters of the pages of one leaf column.

    Attributes
    ----------
    codecs
        What steers the codecs.
    structural_encoding
        ``miniblock`` or ``fullzip`` when the user asks for one, else ``None``.
    """

    codecs: CodecParams
    structural_encoding: str | None = None

    @property
    def version(self) -> Version:
        """File version that the page must fit."""
        return self.codecs.version

    def level_codec(self, levels: FixedWidth, counts: Int64Array) -> BlockCodec:
        """Choose the codec of levels."""
        return choose.level_codec(levels, counts, self.codecs)


def encode_leaf(leaf: Leaf, params: PageParams) -> EncodedPage:
    """Encode all rows of `leaf` as one page.

    Raises
    ------
    DoesNotFit
        The layout of choice cannot hold them; fewer rows may fit, and a single one always fits a full-zip page.
    OptionError
        Packed structs need a full-zip page, which the file version has not for them.
    """
    seen = _visible_def(leaf)
    if leaf.values is None or leaf.num_slots == 0 or (seen is not None and seen[0] != 0 and bool(seen.all())):
        level_codec = params.level_codec if params.version >= Version.V2_2 else None
        return constant.encode_all_null(leaf, level_codec=level_codec)
    if isinstance(leaf.values, Dictionary):
        items = choose.encode_dictionary(leaf.values.items, params.codecs)
        return _indexed(leaf, Stats(leaf.values.indices), items, leaf.values.items.num_values, params)
    if isinstance(leaf.values, Packed):
        return _packed(leaf, leaf.values, params)
    stats = Stats(leaf.values)
    if params.version >= Version.V2_2:
        single = None if _ends_differ(leaf.values, seen) else _single_value(leaf.values, seen)
        if single is not None and (params.codecs.is_reference or _constant_pays(leaf, single)):
            return constant.encode_constant(leaf, single)
    page = _with_dictionary(leaf, stats, params)
    if page is not None:
        return page
    narrow = stats.max_length < NARROW_BYTES or _are_bits(leaf.values)
    if params.structural_encoding is not None:
        narrow = params.structural_encoding == "miniblock"
    return (_mini_block if narrow else _full_zip)(leaf, stats, params)


def _are_bits(values: Block) -> bool:
    """Whether `values` are bools or lists of them: of any length they stay together, as rows of bits are no whole bytes."""
    while isinstance(values, FixedSizeList):
        values = values.items
    return isinstance(values, FixedWidth) and values.bits == 1


def _visible_def(leaf: Leaf) -> npt.NDArray[np.uint16] | None:
    """Definition levels of the slots, ``None`` when all are 0."""
    if leaf.def_ is None:
        return None
    visible = max_visible(leaf.layers)
    return leaf.def_ if leaf.num_slots == len(leaf.def_) else leaf.def_[leaf.def_ <= visible]


def _ends_differ(values: Block, seen: npt.NDArray[np.uint16] | None) -> bool:
    """Whether the first slot and the last are valid and differ, or the first bits: for most pages that is all there is to know."""
    if seen is not None and (seen[0] != 0 or seen[-1] != 0):
        return False
    last = values.num_values - 1
    if isinstance(values, FixedWidth) and values.bits == 1:
        return (
            seen is None and values.num_values >= 8 and memoryview(values.data).cast("B")[0] not in (0, 255)
        )
    if isinstance(values, FixedWidth) and values.bits % 8 == 0:
        view, width = memoryview(values.data).cast("B"), values.bits // 8
        return view[:width] != view[last * width : (last + 1) * width]
    if isinstance(values, VariableWidth):
        borders = memoryview(values.offsets).cast("B").cast("I" if values.offset_bits == 32 else "Q")
        data = memoryview(values.data).cast("B")
        return data[borders[0] : borders[1]] != data[borders[last] : borders[last + 1]]
    return False


def _single_value(values: Block, seen: npt.NDArray[np.uint16] | None) -> Block | None:
    """Return the value of all valid slots as a block of one value, or ``None`` when they differ."""
    valid = None if seen is None else seen == 0
    if isinstance(values, FixedWidth):
        return _single_fixed(values, valid)
    if isinstance(values, VariableWidth):
        return _single_variable(values, valid)
    return None


def _single_fixed(block: FixedWidth, valid: npt.NDArray[np.bool_] | None) -> FixedWidth | None:
    if block.bits == 1:
        rows: npt.NDArray[Any] = np.unpackbits(
            as_bytes(block.data), bitorder="little", count=block.num_values
        )
    elif block.bits in (8, 16, 32, 64):
        rows = as_values(block.data, block.bits)
    else:
        rows = np.frombuffer(block.data, dtype=f"V{block.bits // 8}")
    if valid is not None:
        rows = rows[valid]
    first, middle = rows[:1], rows[len(rows) // 2]
    if rows[-1] != first[0] or middle != first[0] or not (rows == first[0]).all():
        return None
    return FixedWidth(block.bits, 1, first.tobytes())


def _single_variable(block: VariableWidth, valid: npt.NDArray[np.bool_] | None) -> VariableWidth | None:
    offsets = as_values(block.offsets, block.offset_bits).astype(np.int64)
    lengths = np.diff(offsets)
    if valid is not None:
        if lengths[~valid].any():
            return None
        lengths = lengths[valid]
    length = int(lengths[0])
    if (lengths != length).any():
        return None
    data = as_bytes(block.data)[offsets[0] : offsets[-1]]
    first = data[:length]
    if length and not (data.reshape(-1, length) == first).all():
        return None
    width = block.offset_bits // 8
    ends = length.to_bytes(width, "little")
    return VariableWidth(block.offset_bits, 1, bytes(width) + ends, first.tobytes())


def _constant_pays(leaf: Leaf, value: Block) -> bool:
    """Whether a constant page, whose levels are raw, is smaller than a mini-block page of the same rows."""
    if leaf.rep is None and leaf.def_ is None:
        return True
    num_entries = len(leaf.rep if leaf.rep is not None else leaf.def_)  # type: ignore[arg-type]
    num_levels = (leaf.rep is not None) + (leaf.def_ is not None)
    width = int(Stats(value).bit_widths[0]) if isinstance(value, FixedWidth) else 8 * Stats(value).data_size
    packed_bits = num_entries * num_levels + leaf.num_slots * width
    return 16 * num_entries * num_levels < packed_bits + 8 * _CHUNK_BYTES


def _with_dictionary(leaf: Leaf, stats: Stats, params: PageParams) -> EncodedPage | None:
    """Encode with a dictionary when the rules of compressors.md 7.5 allow it, and the probe and the sizes speak for it."""
    values = stats.block
    if not _may_have_dictionary(values, params):
        return None
    codecs, rules = params.codecs, params.codecs.dictionary
    budget = int(stats.data_size * rules.size_ratio)
    cap = min(values.num_values // rules.divisor, rules.max_entries)
    if isinstance(values, FixedWidth) and not codecs.is_reference:
        sizes = cost.fixed_sizes(stats, codecs)
        cap = min(cap, cost.useful_entries(values, sizes))
    if _lengths_refuse(stats, cap) or _probe_refuses(values, cap, codecs):
        return None
    max_bytes = min(budget, rules.max_bytes) if isinstance(values, VariableWidth) else budget
    built = dictionaries.build(values, max_entries=cap, max_bytes=max_bytes)
    if built is None:
        return None
    indices, items = built
    if Stats(items).data_size + 4 * leaf.num_slots > budget:
        return None
    encoded = choose.encode_dictionary(items, codecs)
    index_stats = Stats(indices)
    if not codecs.is_reference:
        symbols = isinstance(values, VariableWidth) and choose.wants_symbols(stats, codecs)
        plain_bytes = cost.value_bytes(stats, codecs, symbols=symbols)
        if nbytes(encoded.data) + cost.value_bytes(index_stats, codecs, symbols=False) >= plain_bytes:
            return None
    try:
        return _indexed(leaf, index_stats, encoded, items.num_values, params)
    except DoesNotFit:
        return None


def _indexed(
    leaf: Leaf, indices: Stats, items: EncodedBlocks, num_items: int, params: PageParams
) -> EncodedPage:
    """Encode indices, beside the encoded dictionary that they refer to."""
    small = _small(leaf, indices, params, (items, num_items))
    if small is not None:
        return small
    return miniblock.encode(
        leaf,
        choose.encode_chunks(indices.block, params.codecs, indices),
        level_codec=params.level_codec,
        large=params.version >= Version.V2_2,
        dictionary=(items, num_items),
    )


def _may_have_dictionary(values: Block, params: PageParams) -> bool:
    if values.num_values < params.codecs.dictionary.min_values:
        return False
    if params.structural_encoding == "fullzip" and not params.codecs.is_reference:
        return False
    if isinstance(values, FixedWidth):
        return values.bits == 128 or (values.bits == 64 and params.version >= Version.V2_2)
    return isinstance(values, VariableWidth)


def _lengths_refuse(stats: Stats, cap: int) -> bool:
    """Whether there are more lengths than a dictionary may have entries: with few long values, this spares hashing their bytes."""
    values = stats.block
    if not isinstance(values, VariableWidth) or stats.data_size < NARROW_BYTES * values.num_values:
        return False
    lengths = np.diff(as_values(values.offsets, values.offset_bits)[: values.num_values + 1])
    return len(np.unique(lengths)) > cap


def _probe_refuses(values: Block, cap: int, params: CodecParams) -> bool:
    """Look at a few evenly spaced values: whether a dictionary of at most `cap` entries is out of sight (compressors.md 7.5).

    The reference takes the sample for the page: with 500 distinct values in a sample of 4096 it expects 122000 in a million.
    """
    num_values = values.num_values
    if num_values < _PROBE_FROM:
        return False
    stretch = min(num_values, _PROBE_VALUES) // _PROBE_STRETCHES
    starts = np.arange(_PROBE_STRETCHES, dtype=np.uint64) * np.uint64(num_values // _PROBE_STRETCHES)
    places = (starts[:, None] + np.arange(stretch, dtype=np.uint64)).reshape(-1)
    sample = dictionaries.expand(FixedWidth(64, len(places), places), values, None, allocate)
    built = dictionaries.build(sample, max_entries=len(places), max_bytes=2**62)
    if built is None:
        return True
    indices, items = built
    ratio = items.num_values / len(places)
    if params.is_reference:
        return ratio >= _PROBE_MAX_RATIO or math.ceil(ratio * num_values) > cap
    counts = np.bincount(as_values(indices.data, 32))
    return ratio >= _PROBE_MAX_RATIO or cost.distinct_values(counts) > cap


def _mini_block(leaf: Leaf, stats: Stats, params: PageParams) -> EncodedPage:
    small = _small(leaf, stats, params, None)
    if small is not None:
        return small
    encoded = choose.encode_chunks(stats.block, params.codecs, stats)
    return miniblock.encode(
        leaf, encoded, level_codec=params.level_codec, large=params.version >= Version.V2_2, dictionary=None
    )


def _small(
    leaf: Leaf, stats: Stats, params: PageParams, dictionary: tuple[EncodedBlocks, int] | None
) -> EncodedPage | None:
    """Encode a small page in one call; ``None`` where it takes more than that."""
    values = stats.block
    if leaf.rep is not None or not isinstance(values, FixedWidth) or stats.data_size > SMALL_BYTES:
        return None
    if choose.tries_zstd(values, params.codecs):
        return None
    return encode_small(
        leaf,
        values,
        choose.chunk_codec(values, params.codecs, stats),
        limits=params.codecs.limits,
        level_codec=params.level_codec,
        large=params.version >= Version.V2_2,
        dictionary=dictionary,
    )


def _packed(leaf: Leaf, values: Packed, params: PageParams) -> EncodedPage:
    """Encode packed structs: in chunks if all fields have one width, else as records (structural.md 8.1, versions.md 5.6)."""
    is_fixed = all(isinstance(child, FixedWidth) for child in values.children)
    if is_fixed and params.structural_encoding != "fullzip":
        return _mini_block(leaf, Stats(values), params)
    if params.version < Version.V2_2:
        what = (
            "full-zip pages of packed structs" if is_fixed else "packed structs with children of any length"
        )
        raise OptionError(f"{what} cannot be stored in version {params.version.text}, only from 2.2 on")
    return _full_zip(leaf, Stats(values), params)


def _full_zip(leaf: Leaf, stats: Stats, params: PageParams) -> EncodedPage:
    values = stats.block
    if isinstance(values, FixedWidth) and values.bits == 1:
        wide = np.unpackbits(as_bytes(values.data), bitorder="little", count=values.num_values)
        stats = Stats(FixedWidth(8, values.num_values, wide))
    if (
        isinstance(values, FixedSizeList)
        and values.validity is not None
        and getattr(values.items, "bits", 0) == 1
    ):
        raise OptionError(
            "full-zip pages of lists of bools with null items are not written: the reference fails on them "
            "(compressors.md 5.5); without structural_encoding='fullzip' they go to mini-block pages"
        )
    return fullzip.encode(leaf, choose.encode_values(stats.block, params.codecs, stats))
