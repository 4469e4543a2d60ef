"""What is committed: files of the project, and nothing that a machine or a tool left there."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def listed(root: Path, *options: str) -> list[str]:
    """Lines of ``git ls-files``."""
    command = ["git", "-C", str(root), "ls-files", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture
def root(repository_root: Path) -> Path:
    if not (repository_root / ".git").exists():
        pytest.skip("these sources are no clone")
    return repository_root


def test_nothing_is_committed_that_is_ignored(root: Path) -> None:
    assert listed(root, "--cached", "--ignored", "--exclude-standard") == []


def test_no_link_is_committed(root: Path) -> None:
    assert [line for line in listed(root, "--stage") if line.startswith("120000")] == []
