"""Structure: repetition and definition levels, and the layers that give them their meaning."""

from lancelet.levels.layers import Layer, Leaf

__all__ = ["Layer", "Leaf"]
