"""The machine, for reports."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path


def describe_machine() -> dict[str, object]:
    """Return processor, memory, system, Python, and the time of now."""
    cpu = Path("/proc/cpuinfo").read_text()
    memory = Path("/proc/meminfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", cpu, re.MULTILINE)
    total = re.search(r"^MemTotal:\s*(\d+) kB$", memory, re.MULTILINE)
    return {
        "processor": model[1] if model else platform.machine(),
        "num_cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": 1024 * int(total[1]) if total else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
