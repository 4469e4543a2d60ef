from lancelet.kernels.reference.varwidth import *

__all__ = [
    "variable_cut",
    "variable_decode",
    "variable_decode_offsets",
    "variable_encode",
    "variable_rebase",
]
