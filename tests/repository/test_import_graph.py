"""A module imports only from the units before its own: the folders stand in the order in which data flows.

What counts: every import statement, also inside functions and under TYPE_CHECKING, because a type is a dependency too, and
``import_module`` with the name written out. Free are imports inside of a unit, and ``lancelet/__init__.py``, which lists the public
names of all units. No unit imports the public names: they are for users.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A top-level module or folder each, lowest first. The compiled module belongs to the kernels.
UNITS = (
    "release",
    "errors",
    "versions",
    "wishes",
    "options",
    "buffers",
    "threads",
    "kernels",
    "storage",
    "pb",
    "container",
    "schema",
    "blocks",
    "codecs",
    "levels",
    "pages",
    "v20",
    "fields",
    "file",
    "filters",
    "table",
    "compact",
    "datasets",
    "anatomy",
    "interop",
    "cli",
    "testing",
)
ALIASES = {"_native": "kernels"}


def imported_names(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module of `package` imports; ``from a import b`` is ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            parts = [*base, node.module] if node.module else base
            yield from ((node.lineno, ".".join([*parts, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            argument = node.args[0]
            first = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def forbidden_imports(source: str, unit: str, package: str) -> list[str]:
    """Say for each import of `source`, a module of `unit`, that is not allowed, which line and name it is."""
    found = []
    for line, name in imported_names(ast.parse(source), package):
        parts = name.split(".")
        if parts[0] != "lancelet":
            continue
        target = ALIASES.get(parts[1], parts[1]) if len(parts) > 1 else ""
        if target not in UNITS:
            found.append(f"line {line}: {name} is none of the units")
        elif UNITS.index(target) > UNITS.index(unit):
            found.append(f"line {line}: {name} comes after {unit}")
    return found


def test_every_module_imports_only_what_comes_before_it(repository_root: Path) -> None:
    package = repository_root / "src" / "lancelet"
    problems = []
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        if relative.as_posix() == "__init__.py":
            continue
        unit = relative.parts[0].removesuffix(".py")
        assert unit in UNITS, f"{relative}: give the unit {unit!r} its place in UNITS"
        parent = ".".join(["lancelet", *relative.parts[:-1]])
        problems += [f"{relative}, {found}" for found in forbidden_imports(path.read_text(), unit, parent)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "source",
    [
        "import lancelet.pages.base",
        "from lancelet.pages import base",
        "from lancelet import pages",
        "from ..pages import base",
        "def f():\n    from lancelet.pages.base import Layout",
        "if TYPE_CHECKING:\n    from lancelet.pages.base import Layout",
        "import_module('lancelet.pages.base')",
        "importlib.import_module(f'lancelet.pages.{name}')",
        "from lancelet import FileReader",
        "import lancelet",
    ],
)
def test_an_import_of_a_later_unit_is_found(source: str) -> None:
    assert forbidden_imports(source, "codecs", "lancelet.codecs")


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np",
        "from lancelet import _native",
        "from lancelet.errors import FormatError",
        "from lancelet.codecs.base import Codec",
        "from .base import Codec",
        "from . import base",
        "import_module(f'{package}.flat')",
    ],
)
def test_an_import_of_an_earlier_unit_is_free(source: str) -> None:
    assert forbidden_imports(source, "codecs", "lancelet.codecs") == []
