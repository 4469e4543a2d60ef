"""The SQL of filters for sqlglot: a name is plain or in back-ticks, single and double quotes make text.

sqlglot rewrites functions that it knows: arguments change places, names become others. Here all stay calls of the written name;
only CAST, TRY_CAST, EXTRACT and CASE, which have a grammar of their own, are parsed as such.
"""

from __future__ import annotations

from typing import ClassVar

from sqlglot import parser, tokens
from sqlglot.dialects.dialect import Dialect

__all__ = ["FilterDialect"]


class FilterDialect(Dialect):
    """What a filter or an expression is written in."""

    class Tokenizer(tokens.Tokenizer):
        """Quotes and names."""

        QUOTES: ClassVar = ["'", '"']
        IDENTIFIERS: ClassVar = ["`"]
        STRING_ESCAPES: ClassVar = ["'", '"']
        HEX_STRINGS: ClassVar = [("x'", "'"), ("X'", "'"), ("0x", ""), ("0X", "")]

    class Parser(parser.Parser):
        """No function but those with a grammar of their own; ``a = b IS NULL`` is ``(a = b) IS NULL``."""

        IS_PREDICATE_PRECEDENCE = parser.IsPredicatePrecedence.LOW
        FUNCTIONS: ClassVar = {}
        NO_PAREN_FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {
            name: parse
            for name, parse in parser.Parser.FUNCTION_PARSERS.items()
            if name in ("CAST", "TRY_CAST", "EXTRACT")
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {
            name: parse for name, parse in parser.Parser.NO_PAREN_FUNCTION_PARSERS.items() if name == "CASE"
        }
