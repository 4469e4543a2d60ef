"""The two lengths of a test run: samples of the long tests by default, full numbers with LANCELET_TEST_FULL=1."""

from __future__ import annotations

import os
from typing import TypeVar

FULL = os.environ.get("LANCELET_TEST_FULL") == "1"

T = TypeVar("T")


def sample_or_full(sample: T, full: T) -> T:
    """Return the first in a default run, the second in a full one."""
    return full if FULL else sample
