"""The layers of docs/decisions/0005-datasets.md are those of the modules."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def layers_of(root: Path) -> dict[str, int]:
    """Module of ``table/`` -> number of its layer, from the table."""
    page = (root / "docs" / "decisions" / "0005-datasets.md").read_text()
    table = page.partition("## Layers")[2].partition("\n|---")[2].partition("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    found = [
        (name, number)
        for number, line in enumerate(lines)
        for name in re.findall(r"`(\w+)`", line.split("|")[2])
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_every_module_has_a_layer(repository_root: Path) -> None:
    modules = {path.stem for path in (repository_root / "src" / "lancelet" / "table").glob("*.py")}
    assert set(layers_of(repository_root)) == modules - {"__init__"}


def test_modules_know_their_own_layer_and_those_above(repository_root: Path) -> None:
    layers = layers_of(repository_root)
    wrong = []
    for path in sorted((repository_root / "src" / "lancelet" / "table").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lancelet.table."):
                other = str(node.module).rpartition(".")[2]
                if layers[other] > layers[path.stem]:
                    wrong.append(f"{path.stem} imports {other}")
    assert wrong == []
