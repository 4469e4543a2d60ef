"""The inner loops. One call works on a whole page, or on all chunks that a read needs.

Every kernel exists twice under one name and signature: native (C++, ``lancelet._native``) and as a slow, obvious NumPy twin
(:mod:`lancelet.kernels.reference`, which holds the docstrings). ``LANCELET_KERNELS=native|reference`` chooses; without the
variable the native ones serve where they were built. :data:`IMPLEMENTATION` says which are loaded.

Contract of all kernels
-----------------------
* ``data`` arguments are any C-contiguous bytes; ``offsets``, ``sizes`` and ``counts`` are ``int64`` arrays; outputs are writable
  buffers that the caller allocated with exactly the size the docstring states.
* Everything that may come from a file is checked before use: :class:`~lancelet.errors.FormatError` says what is wrong.
  A broken contract (a wrong output size, an unknown width) is a ``ValueError``: a bug of the caller.
* The GIL is released while a native kernel runs.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from types import ModuleType

    from lancelet.kernels.reference import *

__all__ = ["IMPLEMENTATION"]


def _load() -> tuple[str, ModuleType]:
    wanted = os.environ.get("LANCELET_KERNELS", "")
    if wanted not in ("", "native", "reference"):
        raise OptionError(f"LANCELET_KERNELS is {wanted!r}; it may be 'native' or 'reference'")
    if wanted != "reference":
        try:
            return "native", import_module("lancelet._native")
        except ImportError as error:
            if wanted == "native":
                raise
            warnings.warn(
                f"lancelet runs without its native kernels and is slow ({error}); install a C++20 compiler and reinstall it",
                RuntimeWarning,
                stacklevel=2,
            )
    from lancelet.kernels import reference

    return "reference", reference


IMPLEMENTATION, _module = _load()
globals().update(
    {name: kernel for name, kernel in vars(_module).items() if not name.startswith("_") and callable(kernel)}
)
