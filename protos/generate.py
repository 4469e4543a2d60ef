"""Regenerate ``src/lancelet/pb`` from ``protos``; run it through ``make protos``, which pins the generator.

``protos/generated.sha256`` records what was made from what, in the format of ``sha256sum``, so that a test can tell without the
generator whether the committed modules belong to the committed sources.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
OUTPUT = ROOT / "src"


def generate(sources: list[str]) -> None:
    """Write a module and a stub for each of `sources`, which are paths below ``protos``; a failure ends the program."""
    well_known = Path(protoc.__file__).parent / "_proto"
    stubs = Path(sys.executable).parent / "protoc-gen-mypy"
    flags = [f"-I{PROTOS}", f"-I{well_known}", f"--plugin=protoc-gen-mypy={stubs}"]
    outputs = [f"--python_out={OUTPUT}", f"--mypy_out=quiet:{OUTPUT}"]
    status = protoc.main(["protoc", *flags, *outputs, *sources])
    if status:
        sys.exit(status)


def record(sources: list[str]) -> None:
    """Write the digests of all sources and of everything made from them."""
    modules = [
        OUTPUT / source.replace(".proto", ending) for source in sources for ending in ("_pb2.py", "_pb2.pyi")
    ]
    paths = sorted([*(PROTOS / source for source in sources), *modules])
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT).as_posix()}\n"
        for path in paths
    ]
    (PROTOS / "generated.sha256").write_text("".join(lines))


def main() -> None:
    """Run the generator over every ``.proto`` file."""
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    generate(sources)
    record(sources)


if __name__ == "__main__":
    main()
