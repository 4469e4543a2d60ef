"""Arguments that users give in many places: what is none ends as an OptionError that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex

from lancelet.errors import OptionError
from lancelet.schema.text import is_text

__all__ = ["check_number", "check_progress", "names_of", "texts_of"]


def check_number(name: str, value: Any, least: int, *, optional: bool = True) -> None:
    """Check an argument; ``None`` stands for the default, if it is `optional`.

    Raises
    ------
    OptionError
        It is no whole number of at least `least`.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or int(value) < least:
        raise OptionError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def check_progress(progress: Any) -> None:
    """Check what is called with the progress of a change, if anything is.

    Raises
    ------
    OptionError
        It cannot be called.
    """
    if progress is not None and not callable(progress):
        raise OptionError(f"progress is {progress!r}; it must be a function")


def names_of(what: str, names: Any) -> list[str]:
    """Return a list of names.

    Raises
    ------
    OptionError
        It is none: also one text is not, which would be taken for its letters.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise OptionError(f"{what} must be a list of names, not {names!r}")
    found = list(names)
    for name in found:
        if not is_text(name):
            raise OptionError(f"one of {what} is {name!r}, which is no text")
    return found


def texts_of(values: Any, *, may_be_none: bool = True) -> dict[str, Any]:
    """Return a mapping of texts to texts.

    Parameters
    ----------
    values
        The mapping.
    may_be_none
        Whether a value may be ``None``, which removes its key.

    Raises
    ------
    OptionError
        It is something else.
    """
    if not isinstance(values, Mapping):
        raise OptionError(f"what is to be set is a mapping of keys to texts, not {type(values).__name__}")
    for key, value in values.items():
        if not is_text(key) or not (is_text(value) or (value is None and may_be_none)):
            raise OptionError(f"{key!r}: {value!r} is set, and both must be text")
    return dict(values)
