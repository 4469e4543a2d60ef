"""The first use of a built-in codec or layout, by two threads at once."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: Registers its class, lets the other thread try, and only then defines what the class needs.
SLOW = """
import threading, time
from lancelet.{package}.registry import register

@register
class Slow:
    name = "slow_one"
    @classmethod
    def from_message(cls, *arguments):
        return ANSWER

threading.registered.set()
time.sleep(0.1)
ANSWER = 42
"""


@pytest.mark.parametrize("package", ["codecs", "pages"])
def test_half_imported_modules_are_waited_for(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = import_module(f"lancelet.{package}.registry")
    known = registry._codecs if package == "codecs" else registry._layouts
    (tmp_path / "slow_module.py").write_text(SLOW.format(package=package))
    parent = import_module(f"lancelet.{package}")
    monkeypatch.setattr(parent, "__path__", [*parent.__path__, str(tmp_path)])
    monkeypatch.setitem(registry._MODULES, "slow_one", "slow_module")
    registered = threading.Event()
    monkeypatch.setattr(threading, "registered", registered, raising=False)

    def use() -> object:
        if package == "codecs":
            return registry._find("slow_one").from_message(None)
        return registry.parse_member("slow_one", None, None)

    try:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(use)
            assert registered.wait(10)
            assert pool.submit(use).result(10) == first.result(10) == 42
    finally:
        known.pop("slow_one", None)
        registry._complete.discard("slow_one")
        sys.modules.pop(f"lancelet.{package}.slow_module", None)
        vars(parent).pop("slow_module", None)
