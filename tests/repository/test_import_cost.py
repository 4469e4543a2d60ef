"""What an import pulls in, measured in fresh processes."""

from __future__ import annotations

import subprocess
import sys

#: Modules that are loaded when something needs them, and never because a public name was looked up. (protobuf is: nobody looks up
#: a reader or a writer but to open a file.)
LATER = (
    "obstore",
    "pandas",
    "pyarrow.acero",
    "pyarrow.csv",
    "pyarrow.dataset",
    "pyarrow.flight",
    "pyarrow.parquet",
    "pyroaring",
    "rich",
    "sqlglot",
)
LOOK_UP_ALL = "import lancelet\nfor name in lancelet.__all__: getattr(lancelet, name)\n"


def modules_after(program: str) -> set[str]:
    """Names of the modules that are loaded when `program` has run in a process of its own."""
    report = f"{program}\nimport sys\nprint(*sys.modules, sep='\\n')"
    run = subprocess.run([sys.executable, "-c", report], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def outside(modules: set[str]) -> set[str]:
    """The modules that are neither lancelet's nor of the standard library."""
    known = {*sys.stdlib_module_names, "lancelet"}
    return {name for name in modules if name.partition(".")[0] not in known}


def test_the_package_needs_numpy_and_the_core_of_pyarrow_only() -> None:
    assert outside(modules_after("import lancelet")) <= outside(modules_after("import numpy, pyarrow"))


def test_looking_up_the_public_names_loads_no_helper() -> None:
    loaded = modules_after(LOOK_UP_ALL)
    assert sorted(name for name in LATER if name in loaded) == []


def test_no_thread_runs_after_the_import() -> None:
    modules_after(f"{LOOK_UP_ALL}import threading\nassert threading.active_count() == 1")
