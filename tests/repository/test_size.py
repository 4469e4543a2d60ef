"""Modules and functions stay small enough to be read at once. Docstrings do not count to a function: a contract may be long."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 60
FOLDERS = ("src", "native", "tests", "protos", "examples", "benchmarks")


def sources(root: Path, *endings: str) -> list[Path]:
    """Files of the project that people write; generated modules are left out."""
    paths = (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in endings)
    return sorted(path for path in paths if not path.stem.endswith("_pb2"))


def function_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    first = function.body[0]
    docstring = first if ast.get_docstring(function, clean=False) is not None else None
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - ((docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0)


def test_no_module_is_too_long(repository_root: Path) -> None:
    lines = {
        path: len(path.read_text().splitlines()) for path in sources(repository_root, ".py", ".hpp", ".cpp")
    }
    assert lines, "no sources found"
    assert {str(path): count for path, count in lines.items() if count > MAX_MODULE_LINES} == {}


def test_no_function_is_too_long(repository_root: Path) -> None:
    long = {}
    for path in sources(repository_root, ".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and function_lines(node) > MAX_FUNCTION_LINES
            ):
                long[f"{path}:{node.lineno} {node.name}"] = function_lines(node)
    assert long == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f(): return 1", 1),
        ("def f():\n    '''Two\n    lines.'''\n    return 1", 2),
        ("@g\ndef f():\n    return 1", 2),
    ],
)
def test_lines_of_a_function(source: str, lines: int) -> None:
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert function_lines(function) == lines
