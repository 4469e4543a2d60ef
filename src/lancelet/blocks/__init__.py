"""Arrays without structure: what codecs encode, and what they decode to."""

from lancelet.blocks.block import Block, FixedSizeList, FixedWidth, Packed, VariableWidth

__all__ = ["Block", "FixedSizeList", "FixedWidth", "Packed", "VariableWidth"]
