"""Places that tests of every folder refer to."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import golden_index

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The folder of pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """The corpus of files that pylance wrote: the whole one beside the repository, or the small one of ``tests/golden``."""
    return golden_index.golden_root()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many golden files of each version were read right."""
    results = {
        outcome: Counter(
            match[1]
            for report in terminalreporter.stats.get(outcome, ())
            if (match := re.search(r"test_golden\.py::test_file\[([0-9.]+)-", getattr(report, "nodeid", "")))
        )
        for outcome in ("passed", "failed")
    }
    for version in sorted(results["passed"] | results["failed"]):
        num_passed = results["passed"][version]
        num_files = num_passed + results["failed"][version]
        terminalreporter.write_line(
            f"golden files of version {version}: {num_passed} of {num_files} read equal"
        )
