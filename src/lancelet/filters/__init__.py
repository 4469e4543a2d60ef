"""Conditions and expressions over columns: SQL text or pyarrow expressions.

``compiled`` is what callers use. Text goes through ``parse`` (sqlglot, by the rules of ``dialect``) into the nodes of ``nodes``;
``build`` makes them with the types of ``coercion`` and the table of ``functions``; ``evaluate`` computes them over record batches.
"""

from lancelet.filters.compiled import Expression, Filter, compile_expression, compile_filter

__all__ = ["Expression", "Filter", "compile_expression", "compile_filter"]
