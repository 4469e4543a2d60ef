"""Long lists of constants in IN, kept away from the parser: it would make a node of every constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import Token, TokenType

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MARK", "LiteralList", "take_lists_out"]

MARK = "\0list "
"""How the text begins that stands for a list. No filter with a zero byte is treated so."""

_SHORTEST = 32


@dataclass(frozen=True, slots=True)
class LiteralList:
    """Constants of one kind.

    Attributes
    ----------
    texts
        Numbers as written, with their sign, or the contents of strings.
    are_strings
        Whether they are strings.
    """

    texts: tuple[str, ...]
    are_strings: bool


def take_lists_out(tokens: Sequence[Token], lists: list[LiteralList]) -> list[Token]:
    """Return the tokens with one text in place of every long list of numbers, or of strings, in IN.

    Parameters
    ----------
    lists
        Gets the lists; the text is ``MARK`` and the place in here.
    """
    kept: list[Token] = []
    place = 0
    while place < len(tokens):
        kept.append(tokens[place])
        place += 1
        if len(kept) > 1 and kept[-1].token_type == TokenType.L_PAREN and kept[-2].token_type == TokenType.IN:
            texts, end = _constants(tokens, place)
            if len(texts) >= _SHORTEST:
                are_strings = tokens[place].token_type == TokenType.STRING
                kept.append(Token(TokenType.STRING, f"{MARK}{len(lists)}"))
                lists.append(LiteralList(tuple(texts), are_strings))
                place = end
    return kept


def _constants(tokens: Sequence[Token], place: int) -> tuple[list[str], int]:
    """Return the constants from `place` on and where their closing parenthesis is; none where the list has anything else."""
    kind = (
        TokenType.STRING
        if tokens[place : place + 1] and tokens[place].token_type == TokenType.STRING
        else TokenType.NUMBER
    )
    texts = []
    while place + 1 < len(tokens):
        sign = ""
        if kind == TokenType.NUMBER and tokens[place].token_type == TokenType.DASH:
            sign = "-"
            place += 1
        if tokens[place].token_type != kind or place + 1 >= len(tokens):
            return [], place
        texts.append(sign + tokens[place].text)
        place += 1
        if tokens[place].token_type == TokenType.R_PAREN:
            return texts, place
        if tokens[place].token_type != TokenType.COMMA:
            return [], place
        place += 1
    return [], place
