"""What docs/plugins.md says of other readers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from lancelet import FileReader, UnsupportedError
from lancelet.codecs import registry as codec_registry
from oracle import oracle
from oracle.client import OracleError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plugins")
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    subprocess.run([sys.executable, "-c", program], cwd=directory, check=True)
    return directory / "hidden.lance"


def test_the_other_columns_are_read_without_the_plugin(hidden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the tests that run the blocks of the page in this process register it
    monkeypatch.delitem(codec_registry._codecs, "org.example.Hidden", raising=False)
    with FileReader(hidden) as reader:
        expected = pa.table({"id": pa.array(range(1000), pa.int32())})
        assert reader.read_all(columns=["id"]).to_table() == expected
        with pytest.raises(UnsupportedError, match=r"'org\.example\.Hidden' is not known here"):
            reader.read_all(columns=["secret"]).to_table()


@pytest.mark.parametrize("columns", [None, ["id"], ["secret"]])
def test_the_newer_pylance_refuses_the_file(hidden: Path, columns: list[str] | None) -> None:
    with pytest.raises(OracleError) as caught:
        oracle("14.0.2").read(hidden, columns=columns)
    (quoted,) = re.findall(r"^> (.*)$", PAGE.read_text(), re.MULTILINE)
    assert quoted in str(caught.value)


def test_the_older_pylance_reads_the_other_columns(hidden: Path) -> None:
    assert oracle("4.0.1").read(hidden, columns=["id"])[0].num_rows == 1000
    with pytest.raises(OracleError):
        oracle("4.0.1").read(hidden, columns=["secret"])
