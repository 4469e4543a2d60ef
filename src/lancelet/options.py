"""Options of writers and readers, checked where they are made."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, SupportsIndex

from lancelet.errors import OptionError
from lancelet.wishes import ColumnOptions, CompressionParams

if TYPE_CHECKING:
    from lancelet.versions import Version

__all__ = ["ColumnOptions", "Profile", "WriteOptions", "default_max_page_bytes"]

#: Bytes that every column may queue before a page is cut, when the writer has no total.
DEFAULT_CACHE_BYTES = 8 << 20

_DEFAULT_MAX_PAGE_BYTES = 32 << 20
_MAX_PAGE_BYTES_VARIABLE = "LANCE_FILE_WRITER_MAX_PAGE_BYTES"


def default_max_page_bytes() -> int:
    """Return the page limit of the environment (``LANCE_FILE_WRITER_MAX_PAGE_BYTES``), or 32 MiB.

    A value that is no positive integer warns and is ignored.
    """
    text = os.environ.get(_MAX_PAGE_BYTES_VARIABLE)
    if text is None:
        return _DEFAULT_MAX_PAGE_BYTES
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value <= 0:
        warnings.warn(
            f"{_MAX_PAGE_BYTES_VARIABLE} is {text!r}, not a positive number of bytes; {_DEFAULT_MAX_PAGE_BYTES} is used",
            RuntimeWarning,
            stacklevel=3,
        )
        return _DEFAULT_MAX_PAGE_BYTES
    return value


class Profile(Enum):
    """Who chooses the encodings where nothing is wished for.

    Attributes
    ----------
    BALANCED
        The smallest of the encodings that are fast to read: bit-packing, runs, dictionaries, symbol tables. Estimated sizes
        are compared.
    SMALL
        As BALANCED, and zstd over it wherever that takes a tenth off the values of a page.
    FAST
        As BALANCED, without symbol tables and general compression.
    REFERENCE
        The rules of the reference implementation, release 14.0.2, its layers included.
    """

    BALANCED = "balanced"
    SMALL = "small"
    FAST = "fast"
    REFERENCE = "reference"

    @classmethod
    def parse(cls, text: str | Profile) -> Profile:
        """Return the profile of a name.

        Raises
        ------
        OptionError
            There is none.
        """
        try:
            return cls(text)
        except ValueError:
            names = ", ".join(repr(profile.value) for profile in cls)
            raise OptionError(f"profile is {text!r}; it may be {names}") from None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a file writer and its encoders go by.

    Attributes
    ----------
    version
        File version.
    data_cache_bytes
        Bytes that all columns together may queue; ``None``: 8 MiB each.
    max_page_bytes
        Largest page before encoding; one row is never cut.
    keep_original_array
        Queue arrays as they are instead of copying them: saves the copy, keeps whatever memory they are a part of.
    profile
        Who chooses encodings.
    compression_params
        Wishes for many columns at once.
    """

    version: Version
    data_cache_bytes: int | None = None
    max_page_bytes: int = _DEFAULT_MAX_PAGE_BYTES
    keep_original_array: bool = False
    profile: Profile = Profile.BALANCED
    compression_params: CompressionParams = field(default_factory=CompressionParams)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("data_cache_bytes", self.data_cache_bytes, 0),
            ("max_page_bytes", self.max_page_bytes, 1),
        ):
            if value is not None and (not isinstance(value, SupportsIndex) or int(value) < least):
                raise OptionError(f"{name} is {value!r}; it must be a number of bytes, at least {least}")
        if not isinstance(self.compression_params, CompressionParams):
            kind = type(self.compression_params).__name__
            raise OptionError(f"compression_params must be CompressionParams, not {kind}")

    def cache_bytes_per_field(self, num_fields: int) -> int:
        """Return the share of one top-level field in the cache (container.md 5)."""
        if self.data_cache_bytes is None or num_fields == 0:
            return DEFAULT_CACHE_BYTES
        return self.data_cache_bytes // num_fields
