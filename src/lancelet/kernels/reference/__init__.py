from lancelet.kernels.reference.miniblock import *
from lancelet.kernels.reference.varwidth import *

__all__ = [
    "miniblock_check_def",
    "miniblock_check_rep",
    "miniblock_chunks",
    "miniblock_cut",
    "miniblock_headers",
    "miniblock_index",
    "miniblock_rows",
    "miniblock_scatter",
    "miniblock_validity",
    "variable_cut",
    "variable_decode",
    "variable_decode_offsets",
    "variable_encode",
    "variable_rebase",
]
