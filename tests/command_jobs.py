"""Commands of the command line, run in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lancelet.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def printed(capfd: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """Run a command that says nothing on the error stream; return what it prints."""
    assert main([str(argument) for argument in arguments]) == code
    out, error = capfd.readouterr()
    assert error == ""
    return out


def parsed(capfd: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    return json.loads(printed(capfd, *arguments, "--json", code=code))


def refused(capfd: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Run a command that must fail; return the one line that it says."""
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        found = stop.code
    out, error = capfd.readouterr()
    assert (found, out, error.count("\n")) == (code, "", 1)
    return error.removeprefix("lancelet: error: ").rstrip("\n")


def files_of(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()
    }
