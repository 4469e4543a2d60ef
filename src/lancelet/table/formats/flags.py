"""Feature flags: what a program must know before it reads a dataset, or writes to it (dataset.md 2.4)."""

from __future__ import annotations

from enum import IntFlag

from lancelet.errors import FormatError, UnsupportedError

__all__ = [
    "KNOWN_TO_READ",
    "KNOWN_TO_WRITE",
    "Flag",
    "check_readable_flags",
    "check_writable_flags",
    "flag_names",
]


class Flag(IntFlag):
    """Bits of ``reader_feature_flags`` and ``writer_feature_flags``."""

    #: A fragment has a deletion file.
    DELETION_FILES = 1
    #: Fragments have sequences of row ids, which rows keep when they move.
    STABLE_ROW_IDS = 1 << 1
    #: Deprecated, without a meaning.
    V2_FORMAT = 1 << 2
    #: There is a table config; in the word for writers only.
    TABLE_CONFIG = 1 << 3
    BASE_PATHS = 1 << 4
    #: Transactions stand in manifests only; in the word for writers only.
    NO_TRANSACTION_FILES = 1 << 5
    DATA_OVERLAYS = 1 << 6
    COVERING_COLUMNS = 1 << 7
    #: Data files are of different 2.x versions. Stays for ever.
    MIXED_FILE_VERSIONS = 1 << 8
    FRAGMENT_REUSE_WITH_STABLE_ROW_IDS = 1 << 9
    TAGGED_FRAGMENT_REUSE = 1 << 10
    SPILLED_ROW_LINEAGE = 1 << 11
    FRAGMENT_TREE = 1 << 12
    INDEPENDENT_COVERING_FIELDS = 1 << 13
    MANAGED_BLOBS = 1 << 14
    NON_REUSABLE_FIELD_IDS = 1 << 15


KNOWN_TO_READ = (
    Flag.DELETION_FILES
    | Flag.STABLE_ROW_IDS
    | Flag.V2_FORMAT
    | Flag.TABLE_CONFIG
    | Flag.BASE_PATHS
    | Flag.NO_TRANSACTION_FILES
    | Flag.MIXED_FILE_VERSIONS
)
KNOWN_TO_WRITE = KNOWN_TO_READ

#: Flags that say nothing unless both words have them.
_PAIRED = Flag.MIXED_FILE_VERSIONS | Flag.TAGGED_FRAGMENT_REUSE | Flag.MANAGED_BLOBS


def check_readable_flags(reader_flags: int, writer_flags: int) -> None:
    """Check that a dataset can be read.

    Raises
    ------
    UnsupportedError
        The word for readers has flags that are not known here; the message names them.
    FormatError
        A flag that belongs into both words stands in one.
    """
    if unknown := reader_flags & ~int(KNOWN_TO_READ):
        raise UnsupportedError(f"unsupported feature flags {unknown:#x} for readers: {_names(unknown)}")
    if alone := (reader_flags ^ writer_flags) & _PAIRED:
        raise FormatError(
            f"feature flags {int(alone):#x} stand for writers or readers alone: {_names(alone)}"
        )


def check_writable_flags(reader_flags: int, writer_flags: int) -> None:
    """Check that a dataset can be written to.

    Raises
    ------
    UnsupportedError
        One of the words has flags that are not known here; the message names them.
    FormatError
        As :func:`check_readable_flags`.
    """
    check_readable_flags(reader_flags, writer_flags)
    if unknown := writer_flags & ~int(KNOWN_TO_WRITE):
        raise UnsupportedError(
            f"unsupported feature flags {unknown:#x} for writers: {_names(unknown)}; the dataset can only be read"
        )


def flag_names(flags: int) -> list[str]:
    """Return the names of the bits that are set, the lowest first; a bit without a name is ``"bit 20"``."""
    bits = [1 << place for place in range(64) if flags >> place & 1]
    return [Flag(bit).name or f"bit {bit.bit_length() - 1}" for bit in bits]


def _names(flags: int) -> str:
    return ", ".join(flag_names(flags))
