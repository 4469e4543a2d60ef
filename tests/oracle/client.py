"""The parent's side of the oracle: starts a worker, asks it, restarts it after a crash.

The releases live in ``.oracle/<release>`` below the repository root (``LANCELET_ORACLE_DIR`` names another
place), installed with ``pip install --no-deps --target .oracle/<release> pylance==<release>``; they share pyarrow
and numpy with the tests and need ``lance-namespace`` there too.
"""

from __future__ import annotations

import atexit
import functools
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from oracle import worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

RELEASES = ("4.0.1", "14.0.2")
REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 60.0


class OracleError(Exception):
    """The release refused a request, with an exception or a panic."""


class OracleCrashed(OracleError):  # noqa: N818 - a kind of OracleError
    """The worker died or hung; the next request starts another."""


class Oracle:
    """One release of pylance in a child process.

    Parameters
    ----------
    release
        Its version, one of :data:`RELEASES`.
    directory
        Where it is installed.
    """

    def __init__(self, release: str, directory: Path) -> None:
        if not (directory / "lance").is_dir():
            raise FileNotFoundError(
                f"pylance {release} is not installed in {directory}; `make test` installs it"
            )
        self.release = release
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def read(
        self,
        path: Path | str,
        parts: Sequence[tuple[Any, ...]] = (("all", 1024),),
        columns: Sequence[str] | None = None,
    ) -> list[pa.Table]:
        """Read parts of a file in one request; a part is what :func:`oracle.worker.read` describes."""
        wanted = None if columns is None else list(columns)
        tables = self._ask("read", path=str(path), parts=list(parts), columns=wanted)
        return [worker.unpack_table(table) for table in tables]

    def write(self, path: Path | str, table: pa.Table, version: str, **options: Any) -> None:
        """Write a table, one batch per chunk."""
        self._ask("write", path=str(path), table=worker.pack_table(table), version=version, options=options)

    def run(self, code: str, **values: Any) -> Any:
        """Run statements of Python beside the release; see :func:`oracle.worker.run`."""
        return self._ask("run", code=code, values=values)

    def metadata(self, path: Path | str) -> dict[str, Any]:
        """Return version, num_rows and columns: per page the encoding and the (offset, size) of buffers."""
        found: dict[str, Any] = self._ask("metadata", path=str(path))
        return found

    def answer_filters(
        self, table: pa.Table, filters: Sequence[str], expressions: Sequence[str] = ()
    ) -> tuple[list[list[int] | str], list[pa.Table | str]]:
        """Write a dataset and answer filters (numbers of rows) and expressions (a column ``x``); an error is its text."""
        found = self._ask(
            "answer_filters",
            table=worker.pack_table(table),
            filters=list(filters),
            expressions=list(expressions),
        )
        columns = [one if isinstance(one, str) else worker.unpack_table(one) for one in found["expressions"]]
        return found["filters"], columns

    def close(self) -> None:
        """End the worker."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, self._log):
                if pipe is not None:
                    pipe.close()

    def _ask(self, operation: str, **arguments: Any) -> Any:
        process = self.process
        if process.stdin is None or process.stdout is None:
            raise OracleCrashed("the worker has no pipes")
        answer = None
        try:
            worker.send(process.stdin, {"operation": operation, **arguments})  # type: ignore[arg-type]
            if select.select([process.stdout], [], [], TIMEOUT_SECONDS)[0]:
                answer = worker.receive(process.stdout)  # type: ignore[arg-type]
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise OracleCrashed(f"pylance {self.release}, {operation}: {self._last_words(process)}")
        if "error" in answer:
            raise OracleError(f"pylance {self.release}, {operation}: {answer['kind']}: {answer['error']}")
        return answer["value"]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The worker, started if there is none."""
        return self._process or self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": str(self.directory),
            "LANCE_LOG": "error",
            "RUST_BACKTRACE": "0",
        }
        environment.pop("LD_PRELOAD", None)  # the sanitizers of our own kernels
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, str(Path(worker.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )
        return self._process

    def _last_words(self, process: subprocess.Popen[bytes]) -> str:
        """End a worker that gave no answer; return how it ended and the last of what it printed."""
        try:
            how = f"died with exit status {process.wait(1.0)}"
        except subprocess.TimeoutExpired:
            how = f"no answer within {TIMEOUT_SECONDS:.0f} s"
        text = b""
        if self._log is not None:
            self._log.seek(0)
            text = self._log.read()[-2000:]
        self.close()
        return f"{how}\n{text.decode(errors='replace')}"


@functools.cache
def oracle(release: str) -> Oracle:
    """Return this process's worker for a release; it is ended at exit."""
    root = Path(os.environ.get("LANCELET_ORACLE_DIR", REPOSITORY / ".oracle"))
    judge = Oracle(release, root / release)
    atexit.register(judge.close)
    return judge
