"""How the files of a dataset are called (dataset.md 1).

::

    data/<24 binary digits><26 hex digits>.lance             columns of a fragment
    _versions/<20 digits>.manifest                           scheme V2: 2**64 - 1 - version, newest first in a listing
    _versions/<version>.manifest                             scheme V1
    _versions/d<version>.manifest                            detached: a version of its own, with the highest bit set
    _transactions/<read version>-<uuid>.txn                  an attempt to commit
    _deletions/<fragment>-<read version>-<id>.arrow|.bin     deleted rows of a fragment
    _refs/tags/<tag>.json                                    a name for a version
"""

from __future__ import annotations

import re
import secrets
import uuid
from enum import Enum
from typing import Literal

from lancelet.errors import OptionError

__all__ = [
    "DATA",
    "DELETIONS",
    "INDICES",
    "MAX_VERSION",
    "TAGS",
    "TRANSACTIONS",
    "VERSIONS",
    "Scheme",
    "data_file_name",
    "is_detached",
    "manifest_path",
    "new_deletion_id",
    "parse_manifest_name",
    "transaction_path",
]

DATA = "data"
VERSIONS = "_versions"
DELETIONS = "_deletions"
TRANSACTIONS = "_transactions"
INDICES = "_indices"
TAGS = "_refs/tags"

#: Versions are unsigned 64-bit integers.
MAX_VERSION = (1 << 64) - 1
_DETACHED_BIT = 1 << 63
_MANIFEST = re.compile(r"(d?)([0-9]{1,20})\.manifest", re.ASCII)
#: A name of this length is one of scheme V2: 20 digits, and ``.manifest``.
_V2_LENGTH = 29


class Scheme(Enum):
    """How manifests are named. All those of a dataset follow one scheme, but for detached ones, which have their own."""

    V1 = "V1"
    V2 = "V2"


def data_file_name() -> str:
    """Return a new name for a data file, below :data:`DATA`: 16 random bytes, the first three of them in binary digits.

    Stores that spread their load by the beginning of a name find many different ones.
    """
    random = uuid.uuid4().bytes
    return f"{int.from_bytes(random[:3]):024b}{random[3:].hex()}.lance"


def new_deletion_id() -> int:
    """Return a random 64-bit number for the name of a deletion file."""
    return secrets.randbits(64)


def is_detached(version: int) -> bool:
    """Tell whether the number is one of detached versions, which are never the latest and never listed."""
    return bool(version & _DETACHED_BIT)


def manifest_path(version: int, scheme: Scheme = Scheme.V2) -> str:
    """Return the path of a manifest below the root of the dataset.

    Parameters
    ----------
    version
        The version; for a detached one the scheme does not matter.
    scheme
        The scheme of the dataset.

    Raises
    ------
    OptionError
        This is no version.

    Examples
    --------
    >>> manifest_path(1)
    '_versions/18446744073709551614.manifest'
    >>> manifest_path(1, Scheme.V1)
    '_versions/1.manifest'
    """
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= MAX_VERSION:
        raise OptionError(f"{version!r} is no version of a dataset")
    if is_detached(version):
        return f"{VERSIONS}/d{version}.manifest"
    if scheme is Scheme.V2:
        return f"{VERSIONS}/{MAX_VERSION - version:020d}.manifest"
    return f"{VERSIONS}/{version}.manifest"


def parse_manifest_name(name: str) -> tuple[Scheme | Literal["detached"], int] | None:
    """Tell what a file below :data:`VERSIONS` is.

    Parameters
    ----------
    name
        Its name, without the folder.

    Returns
    -------
    tuple or None
        The scheme, or ``"detached"``, and the version. ``None``: this is no manifest but, for example, what a writer left behind
        that did not finish.
    """
    found = _MANIFEST.fullmatch(name)
    if found is None:
        return None
    number = int(found[2])
    if number > MAX_VERSION:
        return None
    if found[1]:
        return "detached", number
    if len(name) == _V2_LENGTH:
        return Scheme.V2, MAX_VERSION - number
    return Scheme.V1, number


def transaction_path(read_version: int, uuid: str) -> str:
    """Return the path of a transaction file below the root of the dataset.

    Parameters
    ----------
    read_version
        Version that the change began from; 0 where a dataset is created.
    uuid
        UUID of the transaction, with hyphens.
    """
    return f"{TRANSACTIONS}/{read_version}-{uuid}.txn"
