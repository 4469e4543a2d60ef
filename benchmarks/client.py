"""The parent's side of an engine's process."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

from benchmarks.engines.base import REPOSITORY
from benchmarks.measure import PrivatePeak, peak_resident_bytes, private_bytes
from benchmarks.worker import receive, send

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from benchmarks.engines.base import Installation


class EngineError(Exception):
    """An engine refused or failed."""


class EngineDied(EngineError):  # noqa: N818 - a kind of EngineError
    """The process of an engine ended; it can do nothing more."""


def environment_of(installation: Installation) -> dict[str, str]:
    """Return the environment variables for a process that runs an engine."""
    folders = [REPOSITORY, *([installation.folder] if installation.folder else [])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "LANCE_LOG": "error"}


class EngineProcess:
    """A process with one engine that answers requests; a context manager.

    Parameters
    ----------
    installation
        The engine.
    module
        The module that is run.
    arguments
        What follows the engine's name on its command line.
    """

    def __init__(self, installation: Installation, module: str, *arguments: str) -> None:
        self._name = installation.name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [str(installation.python), "-m", module, installation.name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment_of(installation),
        )

    def ask(self, request: str, **arguments: Any) -> Any:
        """Send a request, wait for the answer and return its value.

        Raises
        ------
        EngineError
            The engine failed.
        EngineDied
            Its process ended; the message has what it printed.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise EngineError(f"{self._name}: no pipes")
        try:
            send(self._process.stdin, {"request": request, **arguments})  # type: ignore[arg-type]
            answer = receive(self._process.stdout)  # type: ignore[arg-type]
        except BrokenPipeError:
            answer = None
        if answer is None:
            self._log.seek(0)
            raise EngineDied(f"{self._name} died: {self._log.read()[-2000:].decode(errors='replace')}")
        if "error" in answer:
            raise EngineError(f"{self._name}, {request}: {answer['error']}")
        return answer["value"]

    def first_of(self, **arguments: Any) -> dict[str, Any]:
        """Read a tiny file, then do a piece of work once; return its timing."""
        self.load_all(arguments["path"])
        timing: dict[str, Any] = self.ask("run", once=True, **arguments)
        return timing

    def load_all(self, path: Path) -> None:
        """Write and read something tiny beside `path`."""
        self.ask("load_all", scratch=path.with_name(f"tiny-{path.name}"))

    def memory_of(self, **arguments: Any) -> tuple[int, int]:
        """Do a piece of work; return the private bytes that it added at most, and the peak of the resident bytes."""
        self.load_all(arguments["path"])
        self.ask("forget_peak")
        before = private_bytes(self._process.pid)
        with PrivatePeak(self._process.pid) as sampler:
            self.ask("run", once=True, **arguments)
        return max(0, sampler.peak_bytes - before), peak_resident_bytes(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()


class Client(EngineProcess):
    """A process with one engine and one workload.

    Parameters
    ----------
    installation
        The engine.
    workload, source, library
        As :class:`benchmarks.worker.Worker` takes them.
    """

    def __init__(self, installation: Installation, workload: str, source: Path, library: Path) -> None:
        super().__init__(installation, "benchmarks.worker", workload, str(source), str(library))
