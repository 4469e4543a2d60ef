"""Arrays without structure: what codecs encode, and what they decode to."""

from lancelet.blocks.block import Block, Dictionary, FixedSizeList, FixedWidth, Packed, VariableWidth

__all__ = ["Block", "Dictionary", "FixedSizeList", "FixedWidth", "Packed", "VariableWidth"]
