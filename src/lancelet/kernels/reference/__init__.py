"""The kernels as slow, obvious NumPy twins; their docstrings are the contract of both implementations."""

from lancelet.kernels.reference import bitpack, runs
from lancelet.kernels.reference.bitpack import *
from lancelet.kernels.reference.runs import *

__all__ = [*bitpack.__all__, *runs.__all__]
