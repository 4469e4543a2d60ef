from __future__ import annotations

import pytest

from lancelet import buffers


@pytest.mark.parametrize("num_bytes", [0, 1, 4096, (1 << 20) - 1, 1 << 20, (3 << 20) + 5])
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_buffers_of_any_size_can_be_written(
    num_bytes: int, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers.sys, "platform", platform)
    buffers._madvise.cache_clear()
    view = memoryview(buffers.allocate(num_bytes)).cast("B")
    view[:] = bytes([7]) * num_bytes
    assert view.nbytes == num_bytes
    assert view.tobytes() == bytes([7]) * num_bytes
    buffers._madvise.cache_clear()
