"""Slow, obvious twins of the native kernels: one module a group; the docstrings there are the contract of both."""

from lancelet.kernels.reference.bitpack import *
from lancelet.kernels.reference.bodies import *
from lancelet.kernels.reference.chunk_levels import *
from lancelet.kernels.reference.columns import *
from lancelet.kernels.reference.direct import *
from lancelet.kernels.reference.fsst import *
from lancelet.kernels.reference.fullzip import *
from lancelet.kernels.reference.layers import *
from lancelet.kernels.reference.levels import *
from lancelet.kernels.reference.lz4 import *
from lancelet.kernels.reference.miniblock import *
from lancelet.kernels.reference.packed import *
from lancelet.kernels.reference.picks import *
from lancelet.kernels.reference.placing import *
from lancelet.kernels.reference.ranges import *
from lancelet.kernels.reference.runs import *
from lancelet.kernels.reference.small_page import *
from lancelet.kernels.reference.taken_rows import *
from lancelet.kernels.reference.unique import *
from lancelet.kernels.reference.varwidth import *
from lancelet.kernels.reference.zstd_frames import *
