"""The kernels as slow, obvious NumPy twins; their docstrings are the contract of both implementations."""

from lancelet.kernels.reference.fsst import fsst_decode, fsst_decode_offsets, fsst_encode, fsst_train
from lancelet.kernels.reference.lz4 import lz4_decode
from lancelet.kernels.reference.unique import (
    gather_fixed,
    gather_variable,
    gather_variable_offsets,
    unique_fixed,
    unique_variable,
)

__all__ = [
    "fsst_decode",
    "fsst_decode_offsets",
    "fsst_encode",
    "fsst_train",
    "gather_fixed",
    "gather_variable",
    "gather_variable_offsets",
    "lz4_decode",
    "unique_fixed",
    "unique_variable",
]
