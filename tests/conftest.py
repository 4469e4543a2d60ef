"""Places that tests of every folder refer to."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The folder of pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """The corpus of files that pylance wrote; it stands beside the repository and may be missing."""
    return ROOT.parent / "shared" / "golden"
