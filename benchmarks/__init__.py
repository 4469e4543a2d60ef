"""lancelet beside other implementations and formats: `python -m benchmarks --help`, explained in docs/performance.md."""
