"""Helpers for tests of code that reads or writes Lance: comparison of tables and hypothesis strategies.

:mod:`lancelet.testing.compare` needs pyarrow only; :mod:`lancelet.testing.strategies` needs hypothesis.
"""

from __future__ import annotations

from lancelet.testing.compare import (
    Difference,
    as_read_back,
    assert_tables_equal,
    first_difference,
    is_flat,
    tables_equal,
)

__all__ = [
    "Difference",
    "as_read_back",
    "assert_tables_equal",
    "first_difference",
    "is_flat",
    "tables_equal",
]
