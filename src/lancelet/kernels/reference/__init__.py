"""Slow, obvious twins of the native kernels: one module a group; the docstrings here are the contract of both."""

from lancelet.kernels.reference import bitpack, fsst, fullzip, levels, lz4, miniblock, runs, unique, varwidth
from lancelet.kernels.reference.bitpack import *
from lancelet.kernels.reference.fsst import *
from lancelet.kernels.reference.fullzip import *
from lancelet.kernels.reference.levels import *
from lancelet.kernels.reference.lz4 import *
from lancelet.kernels.reference.miniblock import *
from lancelet.kernels.reference.runs import *
from lancelet.kernels.reference.unique import *
from lancelet.kernels.reference.varwidth import *

__all__ = [
    *bitpack.__all__,
    *fsst.__all__,
    *fullzip.__all__,
    *levels.__all__,
    *lz4.__all__,
    *miniblock.__all__,
    *runs.__all__,
    *unique.__all__,
    *varwidth.__all__,
]
