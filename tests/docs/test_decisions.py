"""The folders of docs/decisions/0005-datasets.md are those of the modules."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def folders_of(root: Path) -> dict[str, set[str]]:
    """Folder of ``table/`` -> its modules, from the table; in its order."""
    page = (root / "docs" / "decisions" / "0005-datasets.md").read_text()
    table = page.partition("## Layers")[2].partition("\n|---")[2].partition("\n\n")[0]
    found = {}
    for line in table.splitlines()[1:]:
        _, folder, modules, *_ = line.split("|")
        found[folder.strip(" `")] = set(re.findall(r"`(\w+)`", modules))
    return found


def modules_of(root: Path) -> dict[str, list[Path]]:
    table = root / "src" / "lancelet" / "table"
    return {
        folder.name: [path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
        for folder in table.iterdir()
        if (folder / "__init__.py").exists()
    }


def test_every_module_has_a_folder(repository_root: Path) -> None:
    found = {folder: {path.stem for path in paths} for folder, paths in modules_of(repository_root).items()}
    assert found == folders_of(repository_root)
    table = repository_root / "src" / "lancelet" / "table"
    assert [path.name for path in table.glob("*.py")] == ["__init__.py"]


def test_folders_know_those_above_them_only(repository_root: Path) -> None:
    order, wrong = list(folders_of(repository_root)), []
    for folder, paths in modules_of(repository_root).items():
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lancelet.table."):
                    other = str(node.module).split(".")[2]
                    if order.index(other) > order.index(folder) or {folder, other} == {"commits", "reads"}:
                        wrong.append(f"{folder}/{path.name} imports {node.module}")
    assert wrong == []
