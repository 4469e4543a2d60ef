"""Every code block of the README and the user docs runs, or says why not.

Blocks of a page run in their order in one directory: ``python`` blocks share their names, ``sh`` blocks stop at the first command
that fails. A ``text`` block is output and must have been printed by the ``sh`` blocks before it. A block that cannot run has the
comment ``<!-- not run: why -->`` on the line before it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)$")
EXCUSE = re.compile(r"^<!-- not run: \S.* -->$")


@dataclass(frozen=True)
class Block:
    language: str
    line: int
    text: str
    excused: bool


def blocks_of(text: str) -> list[Block]:
    found: list[Block] = []
    start, language, before = 0, None, ""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        fence = FENCE.match(line)
        if language is None and fence:
            start, language = number, fence[1]
            before = lines[number - 2] if number > 1 else ""
        elif language is not None and line == "```":
            found.append(
                Block(language, start, "\n".join(lines[start : number - 1]), bool(EXCUSE.match(before)))
            )
            language = None
    assert language is None, f"the block of line {start} has no end"
    return found


def test_the_pages_are_found() -> None:
    assert {"README.md", "cli.md", "getting-started.md", "supported.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "docs"}
    printed = ""
    for block in blocks_of(page.read_text()):
        if block.excused:
            continue
        if block.language == "python":
            # New lines in front give errors the line of the page.
            code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
            exec(code, names)
        elif block.language == "sh":
            printed += shell(block, page)
        else:
            assert block.language == "text", f"{page.name}:{block.line}: say what the block is"
            assert block.text in printed, (
                f"{page.name}:{block.line}: not what the commands before print\n{printed}"
            )


def shell(block: Block, page: Path) -> str:
    scripts = os.fspath(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(
        ["sh", "-e", "-c", block.text],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, f"{page.name}:{block.line}: {run.stderr}"
    assert run.stderr == "", f"{page.name}:{block.line}: {run.stderr}"
    return run.stdout


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links {target}"
