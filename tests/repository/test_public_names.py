"""The public names of the package: listed once, loaded lazily."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lancelet


@pytest.mark.parametrize("name", lancelet.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lancelet, name) is not None
    assert name in dir(lancelet)


def test_type_checkers_see_the_homes_that_are_loaded() -> None:
    tree = ast.parse(Path(lancelet.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == lancelet._HOMES
    assert {*seen, "__version__"} == set(lancelet.__all__)


def test_the_list_is_sorted() -> None:
    assert lancelet.__all__ == sorted(lancelet.__all__)


def test_names_of_pylance_are_the_same_classes() -> None:
    assert lancelet.LanceFileReader is lancelet.FileReader
    assert lancelet.LanceFileWriter is lancelet.FileWriter


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'lancelet' has no attribute 'FileWritter'"):
        lancelet.FileWritter  # noqa: B018


def test_a_fresh_process_loads_a_module_when_its_name_is_used() -> None:
    program = (
        "import sys, lancelet\n"
        "assert 'lancelet.errors' not in sys.modules\n"
        "lancelet.FormatError\n"
        "assert 'lancelet.errors' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_version_is_three_numbers() -> None:
    from importlib.metadata import version

    assert lancelet.__version__ == version("lancelet")
    assert all(part.isdigit() for part in lancelet.__version__.split("."))
    assert lancelet.__version__.count(".") == 2
