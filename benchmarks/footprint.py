"""What a library costs before it does anything: the time of its import and of its first read, and the bytes that it installs.

Run as a program it measures in the environment that runs it: ``installed DISTRIBUTION``, ``write ENGINE PATH`` or
``first-read ENGINE PATH``; the answer is JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.bars import ENGINE, IMPORT_TIME, INSTALLED_BYTES, JUDGE
from benchmarks.client import environment_of
from benchmarks.engines.base import INSTALLATIONS, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.engines.base import Installation

PACKAGED = REPOSITORY / ".bench" / "packaged" / "bin" / "python"
"""An environment with lancelet as users install it; a source tree that is installed editable costs each start some milliseconds."""

TIMED_IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def installed_bytes(name: str) -> int:
    """Return the bytes of the files of a distribution in this environment, without bytecode, which Python makes as it needs it."""
    return sum(
        path.stat().st_size
        for file in distribution(name).files or ()
        if file.suffix != ".pyc" and (path := Path(str(file.locate()))).is_file()
    )


def with_requirements(name: str) -> set[str]:
    """Return a distribution and what it requires, as far as that is installed; nothing that only an extra requires."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        normal = re.sub(r"[-_.]+", "-", current).lower()
        try:
            requirements = distribution(current).requires or ()
        except PackageNotFoundError:
            continue  # for another system or Python
        if normal in found:
            continue
        found.add(normal)
        waiting += [
            match[0]
            for line in requirements
            if "extra ==" not in line and (match := re.match(r"[\w.-]+", line))
        ]
    return found


def _python(installation: Installation) -> Path:
    return (
        PACKAGED if installation.python == Path(sys.executable) and PACKAGED.exists() else installation.python
    )


def _run(installation: Installation, *arguments: str) -> str:
    command = [str(_python(installation)), *arguments]
    environment = environment_of(installation)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return run.stdout


def _ask(installation: Installation, *arguments: str) -> Any:
    return json.loads(_run(installation, "-m", "benchmarks.footprint", *arguments))


def measure_footprints(
    engines: Sequence[str], repetitions: int, problems: list[str]
) -> dict[str, dict[str, Any]]:
    """Return per engine the seconds of each import and of each first read, and the installed bytes.

    Every import and every first read has a fresh process. A library may import late what it needs, so the time from before the
    import until a small file has been read is measured as well.

    Parameters
    ----------
    engines
        Names of installations.
    repetitions
        Of imports and first reads; the engines take turns. One before the first is not counted.
    problems
        Takes a sentence for each engine that fails; it is left out.
    """
    found: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as scratch:
        files = {name: str(Path(scratch) / name) for name in engines}
        for name in engines:
            installation = INSTALLATIONS[name]
            try:
                _ask(installation, "write", name, files[name])
            except subprocess.CalledProcessError as error:
                problems.append(f"{name}, first file: {error.stderr.strip().splitlines()[-1]}")
                continue
            sizes = _ask(installation, "installed", installation.distribution)
            packaged = _python(installation) == PACKAGED
            found[name] = {"import_seconds": [], "first_read_seconds": [], "packaged": packaged, **sizes}
        for repetition in range(repetitions + 1):
            for name in found:
                installation = INSTALLATIONS[name]
                imported = float(_run(installation, "-c", TIMED_IMPORT.format(installation.library)))
                read = _ask(installation, "first-read", name, files[name])
                if repetition:
                    found[name]["import_seconds"].append(imported)
                    found[name]["first_read_seconds"].append(read)
    return found


def _ratio(footprints: dict[str, dict[str, Any]], name: str, key: str) -> float | None:
    """Return the median ratio to pylance, paired by repetition."""
    if JUDGE not in footprints or name == JUDGE:
        return None
    pairs = zip(footprints[name][key], footprints[JUDGE][key], strict=True)
    return float(median(mine / theirs for mine, theirs in pairs))


def footprints_table(footprints: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return the rows of a table: times and their ratios to pylance, installed bytes."""
    rows = [
        ["", "import", f": {JUDGE}", "import + first read", f": {JUDGE}", "installed", "with requirements"]
    ]
    for name, footprint in footprints.items():
        cells = [name]
        for key in ("import_seconds", "first_read_seconds"):
            ratio = _ratio(footprints, name, key)
            cells += [f"{1e3 * median(footprint[key]):.0f} ms", "-" if ratio is None else f"{ratio:.2f}"]
        if name == ENGINE and (ratio := _ratio(footprints, name, "import_seconds")) is not None:
            cells[2] += f" ({IMPORT_TIME.bar:g}/{IMPORT_TIME.aim:g}) {IMPORT_TIME.verdict(ratio)}"
        alone = f"{footprint['alone_bytes'] / 1e6:.1f} MB"
        if name == ENGINE and not footprint["packaged"]:
            alone = "editable"
        elif name == ENGINE:
            held = footprint["alone_bytes"] <= INSTALLED_BYTES
            alone += f" ({INSTALLED_BYTES / 1e6:g} MB) {'bar' if held else 'MISSED'}"
        rows.append([*cells, alone, f"{footprint['total_bytes'] / 1e6:.0f} MB"])
    return rows


def write_small(engine: str, path: Path) -> None:
    """Write the file for first reads."""
    import pyarrow as pa

    batch = pa.record_batch({"id": list(range(1000)), "name": [f"name {i}" for i in range(1000)]})
    INSTALLATIONS[engine].load().write(path, [batch])


def time_first_read(engine: str, path: Path) -> float:
    """Return the seconds that import, open and read take in this process, which must be fresh."""
    start = perf_counter()
    library = INSTALLATIONS[engine].load()
    num_rows = sum(batch.num_rows for batch in library.stream(library.open(path), 1000))
    seconds = perf_counter() - start
    if num_rows != 1000:
        raise ValueError(f"{num_rows} rows read")
    return seconds


def main(command: str, name: str, path: str = "") -> None:
    """Answer one question about this environment."""
    answer: object = None
    if command == "installed":
        total = sum(installed_bytes(required) for required in with_requirements(name))
        answer = {"alone_bytes": installed_bytes(name), "total_bytes": total}
    elif command == "write":
        write_small(name, Path(path))
    else:
        answer = time_first_read(name, Path(path))
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
