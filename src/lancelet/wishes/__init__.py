"""Wishes for encodings: what a user may ask for, where it may be asked, and what comes first.

From the first that counts to the last: metadata of the field, :class:`ColumnOptions`, the rules of
:class:`CompressionParams` for columns, then those for types. Environment variables and defaults come after all of
them (:mod:`lancelet.codecs.params`). Every member is merged on its own.
"""

from lancelet.wishes.column import ColumnOptions
from lancelet.wishes.rules import CompressionFieldParams, CompressionParams

__all__ = ["ColumnOptions", "CompressionFieldParams", "CompressionParams"]
