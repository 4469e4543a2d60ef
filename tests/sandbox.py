"""Reads untrusted files in a child process with limits on memory and time: a crash or a hang is a result.

As a module: :func:`sandbox` gives the parent's side. As a script: the child.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import os
import resource
import select
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from oracle.worker import receive, send

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_BYTES = 1 << 30
MOST_BATCHES = 50
TIMEOUT_SECONDS = 10.0 * (10 if "libasan" in os.environ.get("LD_PRELOAD", "") else 1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a read ended.

    Attributes
    ----------
    kind
        ``table``; ``refused`` (a LanceletError); ``escaped`` (another exception, MemoryError among them, or a
        table that is not valid Arrow); ``crashed``; ``hung``.
    message
        The error, the traceback, or the last words of the child.
    """

    kind: str
    message: str = ""

    @property
    def is_orderly(self) -> bool:
        """Tell whether the outcome is one that bad input may have."""
        return self.kind in ("table", "refused")


class Sandbox:
    """A child process that reads files on request and is replaced when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def read(self, source: Path | bytes, columns: list[str] | None = None) -> Outcome:
        """Read a file in full, in batches, a range and some rows; the outcome is the worst, or the first."""
        process = self.process
        answer = None
        try:
            send(process.stdin, {"source": source, "columns": columns})  # type: ignore[arg-type]
            if not select.select([process.stdout], [], [], TIMEOUT_SECONDS)[0]:
                return Outcome("hung", self._last_words())
            answer = receive(process.stdout)  # type: ignore[arg-type]
        except BrokenPipeError:
            answer = None
        return Outcome(**answer) if answer is not None else Outcome("crashed", self._last_words())

    def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, self._log):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):  # a request that a dead child never took
                        pipe.close()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The child, started if there is none."""
        return self._process or self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        return self._process

    def _last_words(self) -> str:
        process, log = self._process, self._log
        if process is None or log is None:
            return ""
        try:
            status = f"exit status {process.wait(1.0)}"
        except subprocess.TimeoutExpired:
            status = f"no answer within {TIMEOUT_SECONDS:.0f} s"
        log.seek(0)
        text = log.read().decode(errors="replace").split("Extension modules:")[0][-3000:]
        self.close()
        return f"{status}\n{text}"


@functools.cache
def sandbox() -> Sandbox:
    """Return this process's sandbox; it is ended at exit."""
    box = Sandbox()
    atexit.register(box.close)
    return box


def read_everything(source: Path | bytes, columns: list[str] | None) -> dict[str, str]:
    """Read one source in every way; return the fields of an :class:`Outcome`."""
    import lancelet
    from lancelet.errors import LanceletError

    first: dict[str, str] = {}
    reader = None
    ways = (
        lambda reader: [reader.read_all().to_table()],
        lambda reader: islice(reader.read_all(batch_size=100).to_batches(), MOST_BATCHES),
        lambda reader: [
            reader.read_range(reader.num_rows // 2, min(1000, max(1, reader.num_rows // 4))).to_table()
        ],
        lambda reader: [reader.take_rows([0, reader.num_rows // 2, reader.num_rows - 1]).to_table()],
    )
    for way in ways:
        try:
            if reader is None:
                reader = lancelet.FileReader(
                    source if isinstance(source, bytes) else str(source), columns=columns
                )
            for part in way(reader):
                check_structure(part)
            outcome = {"kind": "table"}
        except LanceletError as error:
            outcome = {"kind": "refused", "message": f"{type(error).__name__}: {error}"}
        except Exception:
            return {"kind": "escaped", "message": traceback.format_exc(limit=-8)}
        first = first or outcome
        if reader is None:
            break
    return first


def check_structure(data: pa.Table | pa.RecordBatch) -> None:
    """Raise ArrowInvalid if following the buffers of the data would leave them; values may be anything."""
    for column in data.columns:
        for array in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            check_array(array)


def check_array(array: pa.Array) -> None:
    """Check one array: buffers are large enough, offsets ordered and inside. Text need not be UTF-8."""
    plain = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
    if isinstance(array.type, pa.BaseExtensionType):
        check_array(array.storage)
    elif array.type in plain:
        array.validate()
        pa.Array.from_buffers(plain[array.type], len(array), array.buffers(), offset=array.offset).validate(
            full=True
        )
    elif array.type.num_fields and any(map(pa.types.is_decimal, types_below(array.type))):
        check_parts(array)
    elif array.type.num_fields or pa.types.is_dictionary(array.type) or array.type in plain.values():
        array.validate(full=True)
    else:
        array.validate()


def types_below(type_: pa.DataType) -> Iterator[pa.DataType]:
    """Yield a type and all types below it."""
    yield type_
    for index in range(type_.num_fields):
        yield from types_below(type_.field(index).type)


def check_parts(array: pa.Array) -> None:
    """Check an array and its children one by one: decimals below may have more digits than their type."""
    array.validate()
    if pa.types.is_struct(array.type):
        for index in range(array.type.num_fields):
            check_array(array.field(index))
        return
    if not pa.types.is_fixed_size_list(array.type):
        offsets = np.asarray(array.offsets)
        if offsets[0] < 0 or (offsets[1:] < offsets[:-1]).any() or offsets[-1] > len(array.values):
            raise pa.ArrowInvalid("offsets decrease, or reach beyond the items")
    check_array(array.values)


def limit_memory() -> None:
    """Let this process map no more than the limit on top of what it has mapped now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Serve until the parent closes the pipe."""
    faulthandler.enable()
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    read_everything(b"", None)  # imports and pools are in place before the limit is
    limit_memory()
    while (request := receive(requests)) is not None:
        answer: dict[str, Any] = read_everything(**request)
        send(answers, answer)


if __name__ == "__main__":
    main()
