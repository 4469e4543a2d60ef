"""Schemas of files that were opened before: the files of a table have one schema, and its fields take most of an open.

A schema is known by the bytes of its message. What is made of it is immutable, so that readers share it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from lancelet.schema.blobs import shown_schema
from lancelet.schema.fields import StoredSchema
from lancelet.schema.logical import EXTENSION_NAME, JSON
from lancelet.schema.project import columns_of

if TYPE_CHECKING:
    from lancelet.pb import file_pb2
    from lancelet.schema.blobs import BlobView
    from lancelet.schema.fields import Schema
    from lancelet.versions import Version

__all__ = ["KnownSchema", "known_schema"]

#: Bytes of the messages that are remembered; what is made of them takes about forty times as much.
_MOST_BYTES = 256 << 10
_schemas: dict[bytes, KnownSchema] = {}


class KnownSchema:
    """The schema of a file as it is stored, and what every reader of such a file asks of it. Threads may share it.

    Attributes
    ----------
    stored
        The schema as the descriptor stores it.
    """

    def __init__(self, message: file_pb2.Schema) -> None:
        self.stored = StoredSchema(message)
        self._columns_of: dict[Version, dict[int, int]] = {}
        self._shown: dict[BlobView, Schema] = {}

    @cached_property
    def whole(self) -> Schema:
        """All fields; raises what :attr:`StoredSchema.whole` does."""
        return self.stored.whole

    def columns_of(self, version: Version) -> dict[int, int]:
        """Return the physical columns of a file of this version; see :func:`~lancelet.schema.project.columns_of`."""
        found = self._columns_of.get(version)
        if found is None:
            found = self._columns_of.setdefault(version, columns_of(self.stored, version))
        return found

    def shown(self, view: BlobView) -> Schema:
        """Return the schema that a reader of all columns shows."""
        found = self._shown.get(view)
        if found is None:
            found = self._shown.setdefault(view, shown_schema(self.whole, view))
        return found


def known_schema(message: file_pb2.Schema) -> KnownSchema:
    """Return what is known of a stored schema; raises what :class:`~lancelet.schema.fields.StoredSchema` does."""
    written = message.SerializeToString(deterministic=True)
    known = _schemas.get(written)
    if known is None:
        known = KnownSchema(message)
        if len(written) <= _MOST_BYTES and not _has_extension(message):
            if sum(map(len, list(_schemas))) + len(written) > _MOST_BYTES:
                _schemas.clear()
            _schemas[written] = known
    return known


def _has_extension(message: file_pb2.Schema) -> bool:
    """Whether the Arrow type of a field depends on the extensions that are registered, which need not be the same for ever."""
    return any(
        field.extension_name or field.logical_type == JSON or EXTENSION_NAME in field.metadata
        for field in message.fields
    )
