"""Tables of blobs of the second kind, as users give them to lancelet and, in plain Python, to pylance."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lancelet.schema.blobs import LOGICAL_INPUT

BLOBS = pa.struct(list(LOGICAL_INPUT.items()))
MARK = {"ARROW:extension:name": "lance.blob.v2", "ARROW:extension:metadata": ""}
THRESHOLD = "lance-encoding:blob-{}-size-threshold"


def blob_field(name: str = "b", *, nullable: bool = True, **thresholds: int) -> pa.Field:
    """A column of blobs; thresholds are ``inline``, ``dedicated`` and ``pack_file``."""
    metadata = {THRESHOLD.format(key.replace("_", "-")): str(size) for key, size in thresholds.items()}
    return pa.field(name, BLOBS, nullable, MARK | metadata)


def blob(value: Any) -> dict[str, Any] | None:
    """A value: bytes, a URI, a tuple of URI, position and size, or None."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return {"data": value}
    uri, *place = (value,) if isinstance(value, str) else value
    return {"uri": uri, **dict(zip(("position", "size"), place, strict=False))}


def blob_table(values: list[Any], field: pa.Field | None = None) -> pa.Table:
    """A table with a column ``id``, and the blobs."""
    field = field or blob_field()
    blobs = pa.array([blob(value) for value in values], BLOBS)
    return pa.table([pa.array(range(len(values))), blobs], pa.schema([("id", pa.int64()), field]))


def sized(*sizes: int | None) -> list[bytes | None]:
    """Bytes of some sizes, of which no two look alike."""
    return [
        None
        if size is None
        else bytes((7 * number + 13 * (place % 251) + place // 251) % 256 for place in range(64))[:size]
        + bytes([number % 256]) * max(size - 64, 0)
        for number, size in enumerate(sizes)
    ]
