"""What info, schema and pages print of files of every version, kept beside the files.

``files/v<version>/<case>.lance`` were written by pylance 14.0.2; ``<case>.txt`` is the expected output. After a wanted change run
the tests with LANCELET_UPDATE_EXPECTED=1 and read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lancelet.cli import main

FILES = sorted((Path(__file__).parent / "files").glob("v*/*.lance"))
VERBS = ("info", "schema", "pages")


def name_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def test_every_version_is_here() -> None:
    assert {path.parent.name for path in FILES} == {"v2.0", "v2.1", "v2.2", "v2.3"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_text(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    for verb in VERBS:
        print(f"$ lancelet {verb} {path.name}")
        assert main([verb, path.name]) == 0
        print()
    found = capsys.readouterr().out
    expected = path.with_suffix(".txt")
    if os.environ.get("LANCELET_UPDATE_EXPECTED") == "1":
        expected.write_text(found)
    assert found == expected.read_text()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_json_says_the_same(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for verb in VERBS:
        assert main([verb, str(path), "--json"]) == 0
        said[verb] = json.loads(capsys.readouterr().out)
    info, schema, pages = (said[verb] for verb in VERBS)
    assert info["version"] == path.parent.name.removeprefix("v")
    assert info["file_bytes"] == path.stat().st_size
    parts = ("data_bytes", "metadata_bytes", "padding_bytes")
    assert sum(info[part] for part in parts) + sum(info["global_buffer_bytes"]) == info["file_bytes"]
    assert info["num_pages"] == len(pages)
    assert info["schema_metadata"] == schema["metadata"]
    assert info["num_fields"] == sum(field["parent_id"] == -1 for field in schema["fields"])
    assert sum(page["num_bytes"] for page in pages) <= info["data_bytes"]
    assert {page["path"] for page in pages} <= {field["path"] for field in schema["fields"]}
