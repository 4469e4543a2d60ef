"""Functions of text: LIKE, regular expressions, letters, parts of a text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.filters.comparing import Datum

__all__ = ["join", "left", "like", "lower", "regexp_like", "right", "substring", "upper"]

#: Classes of characters that RE2 takes as ASCII and other engines as Unicode.
_ASCII_CLASSES = re.compile(r"(?:\A|[^\\])(?:\\\\)*\\[bBdDsSwW]")


def like_tokens(pattern: str) -> list[tuple[str, bool]]:
    """Split a pattern of LIKE into characters, each with whether it is a wildcard. A backslash makes the next character plain."""
    tokens, plain = [], False
    for character in pattern:
        if plain:
            tokens.append((character, False))
            plain = False
        elif character == "\\":
            plain = True
        else:
            tokens.append((character, character in "%_"))
    return [*tokens, ("\\", False)] if plain else tokens


def like(value: Datum, pattern: Datum, ignore_case: bool) -> Datum:
    """LIKE and ILIKE; null where the text or the pattern is null."""
    if not pattern.is_valid:
        return pc.if_else(pc.is_null(value), pa.scalar(None, pa.bool_()), pa.scalar(None, pa.bool_()))
    tokens = like_tokens(pattern.as_py())
    wildcards = [index for index, (_, wild) in enumerate(tokens) if wild]
    texts = "".join(character for character, wild in tokens if not wild)
    if not ignore_case and all(tokens[index][0] == "%" for index in wildcards):
        last = len(tokens) - 1
        plain: dict[tuple[int, ...], Callable[[], Datum]] = {
            (): lambda: pc.equal(value, pa.scalar(texts, value.type)),
            (last,): lambda: pc.starts_with(value, texts),
            (0,): lambda: pc.ends_with(value, texts),
            (0, last): lambda: pc.match_substring(value, texts),
        }
        if texts and tuple(wildcards) in plain:
            return plain[tuple(wildcards)]()
    parts = [{"%": ".*", "_": "."}[text] if wild else _quoted(text) for text, wild in tokens]
    return pc.match_substring_regex(value, f"(?s{'i' * ignore_case})\\A{''.join(parts)}\\z")


def _quoted(character: str) -> str:
    """Return a regular expression of RE2 that matches just the character."""
    return f"\\x{{{ord(character):x}}}" if ord(character) < 128 and not character.isalnum() else character


def regexp_like(value: Datum, pattern: Datum, flags: str = "") -> Datum:
    r"""Tell where a regular expression (RE2) matches somewhere in the text.

    Raises
    ------
    OptionError
        The pattern has a class such as ``\w``, and a text has a character beyond ASCII: engines differ there.
    """
    if not pattern.is_valid:
        return like(value, pattern, ignore_case=False)
    text = pattern.as_py()
    if _ASCII_CLASSES.search(text):
        ascii_only = pc.string_is_ascii(value)
        if isinstance(ascii_only, pa.Scalar):
            plain = ascii_only.as_py() is not False
        else:
            plain = pc.all(ascii_only, min_count=0).as_py() is not False
        if not plain:
            raise OptionError(
                f"the regular expression {text!r} has \\b, \\d, \\s or \\w, and texts have characters beyond ASCII: "
                "write the characters out, as [0-9]"
            )
    return pc.match_substring_regex(value, f"(?{flags}){text}" if flags else text)


def _letters(value: Datum, ascii_change: Callable[[Datum], Datum], change: Callable[[str], str]) -> Datum:
    """Change letters: those beyond ASCII by the full mapping of Unicode (one may become several)."""
    if isinstance(value, pa.Scalar):
        return pa.scalar(change(value.as_py()), value.type) if value.is_valid else value
    if pc.all(pc.string_is_ascii(value), min_count=0).as_py() is not False:
        return ascii_change(value)
    return pa.array([None if text is None else change(text) for text in value.to_pylist()], value.type)


def lower(value: Datum) -> Datum:
    """Small letters."""
    return _letters(value, pc.ascii_lower, str.lower)


def upper(value: Datum) -> Datum:
    """Capital letters."""
    return _letters(value, pc.ascii_upper, str.upper)


def substring(value: Datum, start: Datum, length: Datum | None) -> Datum:
    """Characters from `start`, counted from 1."""
    first, count = start.as_py(), None if length is None else length.as_py()
    if first is None or (length is not None and count is None):
        return (
            pa.scalar(None, value.type) if isinstance(value, pa.Scalar) else pa.nulls(len(value), value.type)
        )
    if first < 1 or (count is not None and count < 0):
        raise OptionError("substr counts characters from 1, and a length is not negative")
    stop = None if count is None else first - 1 + count
    return pc.utf8_slice_codeunits(value, first - 1, stop)


def left(value: Datum, count: Datum) -> Datum:
    """Return the first `count` characters, or all but the last ``-count``."""
    return pc.utf8_slice_codeunits(value, 0, count.as_py())


def right(value: Datum, count: Datum) -> Datum:
    """Return the last `count` characters, or all but the first ``-count``."""
    number = count.as_py()
    if number == 0:
        return pc.utf8_slice_codeunits(value, 0, 0)
    return pc.utf8_slice_codeunits(value, -number, None)


def join(*values: Datum) -> Datum:
    """Join texts; nulls count as empty."""
    separator = pa.scalar("", values[0].type)
    return pc.binary_join_element_wise(*values, separator, null_handling="replace", null_replacement="")
