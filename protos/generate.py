"""Regenerate ``src/lancelet/pb`` from ``protos``; run it through ``make protos``, which pins the generator."""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
OUTPUT = ROOT.parent / "src"


def main() -> int:
    """Run the generator over every ``.proto`` file; returns its exit status."""
    well_known = Path(protoc.__file__).parent / "_proto"
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    return int(
        protoc.main(
            ["protoc", f"-I{ROOT}", f"-I{well_known}", f"--python_out={OUTPUT}", f"--mypy_out=quiet:{OUTPUT}", *sources]
        )
    )


if __name__ == "__main__":
    sys.exit(main())
