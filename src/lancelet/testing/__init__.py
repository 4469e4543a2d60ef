"""Helpers for tests of code that reads or writes Lance: comparison of tables and hypothesis strategies.

:mod:`~lancelet.testing.strategies` and :mod:`~lancelet.testing.nested` need hypothesis, :mod:`~lancelet.testing.compare` does not.
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
