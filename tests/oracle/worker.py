"""The child: serves requests with the pylance release that its PYTHONPATH holds.

A message, in both directions, is a length and a pickle; tables travel as Arrow IPC streams.

=======  ======  ==========================
offset   size    meaning
=======  ======  ==========================
0        8       n, little endian
8        n       pickled dict
=======  ======  ==========================

Requests: ``{"operation": name, **arguments}``.
Answers: ``{"value": ...}`` or ``{"error": message, "kind": exception name}``.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
from typing import Any, BinaryIO

import pyarrow as pa

LENGTH = struct.Struct("<Q")


def pack_table(table: pa.Table) -> bytes:
    """Return the table as an Arrow IPC stream; its chunks become record batches."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def unpack_table(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()


def send(pipe: BinaryIO, message: dict[str, Any]) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: BinaryIO) -> dict[str, Any] | None:
    """Read one message, or None at the end of the stream."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    data = pipe.read(size)
    return pickle.loads(data) if len(data) == size else None


def read(path: str, parts: list[tuple[Any, ...]], columns: list[str] | None = None) -> list[bytes]:
    """Read parts of a file: ``("all", batch_size)``, ``("range", start, num_rows)`` or ``("take", rows)``."""
    from lance.file import LanceFileReader

    reader = LanceFileReader(path, columns=columns)
    calls = {
        "all": lambda batch_size: reader.read_all(batch_size=batch_size),
        "range": reader.read_range,
        "take": reader.take_rows,
    }
    return [pack_table(calls[kind](*arguments).to_table()) for kind, *arguments in parts]


def write(path: str, table: bytes, version: str, options: dict[str, Any]) -> None:
    """Write a table, one batch per record batch of the stream."""
    from lance.file import LanceFileWriter

    source = unpack_table(table)
    with LanceFileWriter(path, source.schema, version=version, **options) as writer:
        for batch in source.to_batches():
            writer.write_batch(batch)


def metadata(path: str) -> dict[str, Any]:
    """Describe a file: version, rows, per column the pages with encoding and (offset, size) of buffers."""
    from lance.file import LanceFileReader

    found = LanceFileReader(path).metadata()
    pages = [
        [
            {
                "encoding": page.encoding,
                "buffers": [(buffer.position, buffer.size) for buffer in page.buffers],
            }
            for page in column.pages
        ]
        for column in found.columns
    ]
    version = f"{found.major_version}.{found.minor_version}"
    return {"version": version, "num_rows": found.num_rows, "columns": pages}


def run(code: str, values: dict[str, Any]) -> Any:
    """Run statements that find `lance`, `pa` and `values` by name; what they call ``result`` is the answer, and is pickled."""
    import lance

    scope: dict[str, Any] = {"lance": lance, "pa": pa, **values}
    exec(compile(code, "<statements of a test>", "exec"), scope)
    return scope.get("result")


def answer_filters(table: bytes, filters: list[str], expressions: list[str]) -> dict[str, Any]:
    """Write a dataset; answer each filter with the numbers of the rows, each expression with a column, or an error's text."""
    import tempfile

    import lance

    def answer(ask: Any) -> Any:
        try:
            return ask()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a Rust panic is no Exception
            return f"{type(error).__name__}: {error}"

    with tempfile.TemporaryDirectory() as directory:
        source = unpack_table(table)
        aligned = source.take(list(range(source.num_rows)))  # a stream aligns to 8 bytes, decimals need 16
        dataset = lance.write_dataset(aligned, f"{directory}/d", data_storage_version="2.2")

        def rows(text: str) -> list[int]:
            scanner = dataset.scanner(filter=text, columns=[], with_row_id=True)
            return scanner.to_table().column(0).to_pylist()  # type: ignore[no-any-return]

        return {
            "filters": [answer(lambda text=text: rows(text)) for text in filters],
            "expressions": [
                answer(lambda text=text: pack_table(dataset.to_table(columns={"x": text})))
                for text in expressions
            ],
        }


def release() -> str:
    import lance

    return str(lance.__version__)


OPERATIONS = {
    "answer_filters": answer_filters,
    "metadata": metadata,
    "read": read,
    "release": release,
    "run": run,
    "write": write,
}


def main() -> None:
    """Serve until the parent closes the pipe."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print; only answers may go to the pipe
    while (request := receive(requests)) is not None:
        operation = OPERATIONS[request.pop("operation")]
        try:
            answer = {"value": operation(**request)}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a Rust panic is no Exception
            answer = {"error": str(error), "kind": type(error).__name__}
        send(answers, answer)


if __name__ == "__main__":
    main()
