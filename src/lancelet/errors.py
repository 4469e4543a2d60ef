"""The errors of lancelet. Bad input of any kind ends in one of these and in nothing else.

::

    LanceletError
      FormatError        bad bytes: where (path, column, page, buffer, offset), what was expected, what was found
      UnsupportedError   valid but not handled: names the feature and the file version
      OptionError        a bad argument, or a type that a version cannot hold (also a ValueError)
      CommitConflict     another writer won
"""

from __future__ import annotations

from typing import Any

__all__ = ["CommitConflict", "FormatError", "LanceletError", "OptionError", "UnsupportedError"]


class LanceletError(Exception):
    """Base of every error that lancelet raises."""


class FormatError(LanceletError):
    """The bytes contradict the format.

    Lower layers say what is wrong; the layers above add where with :meth:`locate` while the error passes through.

    Parameters
    ----------
    message
        What is wrong, with what was expected and what was found.
    **place
        Any of ``path``, ``column``, ``page``, ``buffer``, ``offset``.
    """

    PLACES = ("path", "column", "page", "buffer", "offset")

    def __init__(self, message: str, **place: Any) -> None:
        super().__init__(message)
        self.message = message
        self.place: dict[str, Any] = {}
        self.locate(**place)

    def locate(self, **place: Any) -> FormatError:
        """Add the parts of the place that are not known yet; returns the error itself."""
        for key, value in place.items():
            if key not in self.PLACES:
                raise TypeError(f"unknown part of a place: {key}")
            if value is not None:
                self.place.setdefault(key, value)
        return self

    def __str__(self) -> str:
        where = ", ".join(f"{key} {self.place[key]}" for key in self.PLACES if key in self.place)
        return f"{self.message} ({where})" if where else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_format_error, (self.message, self.place))


def _rebuild_format_error(message: str, place: dict[str, Any]) -> FormatError:
    return FormatError(message, **place)


class UnsupportedError(LanceletError):
    """The bytes or the request are valid, but this release does not handle them."""


class OptionError(LanceletError, ValueError):
    """A bad argument, or data that the chosen file version cannot hold."""


class CommitConflict(LanceletError):  # noqa: N818 - the name that users of the field know
    """Another writer committed first and the two changes do not commute.

    Parameters
    ----------
    message
        Which changes, and why.
    retryable
        Whether the change can be made anew from the latest version, and may then succeed.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message}; {'do it again from the latest version' if self.retryable else 'the two cannot both be done'}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_conflict, (self.message, self.retryable))


def _rebuild_conflict(message: str, retryable: bool) -> CommitConflict:
    return CommitConflict(message, retryable=retryable)
