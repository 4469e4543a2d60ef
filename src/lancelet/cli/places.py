"""What the paths of the command line stand for: files, or the folders of datasets."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lancelet.errors import OptionError

if TYPE_CHECKING:
    import argparse

    from lancelet.datasets.dataset import Dataset

__all__ = ["blob_handling", "check_file", "check_no_dataset", "is_dataset", "open_dataset"]

#: The folder that makes a folder a dataset.
_VERSIONS = "_versions"
#: Options that have a meaning for datasets only.
_FOR_DATASETS = ("version", "tag", "filter")


def is_dataset(path: str) -> bool:
    """Return whether `path` is the folder of a dataset, or a URI, and no file.

    Raises
    ------
    OptionError
        It is a folder without a dataset.
    """
    if "://" in path:
        return True
    if not Path(path).is_dir():
        return False
    if not Path(path, _VERSIONS).is_dir():
        raise OptionError(f"{path} is a folder and no dataset: it has no {_VERSIONS}")
    return True


def check_file(arguments: argparse.Namespace) -> None:
    """Check that no option is given that has no meaning for a file.

    Raises
    ------
    OptionError
        There is one.
    """
    for name in _FOR_DATASETS:
        if getattr(arguments, name, None) is not None:
            raise OptionError(f"--{name} is for datasets, and {arguments.path} is none")


def check_no_dataset(path: str) -> None:
    """Check that a path that must be a file is no folder.

    Raises
    ------
    OptionError
        It is.
    """
    if Path(path).is_dir() and is_dataset(path):
        raise OptionError(f"{path} is a dataset; name one of the files in {path}/data")


def open_dataset(arguments: argparse.Namespace) -> Dataset:
    """Open the dataset that the arguments name, at the version or tag that they name.

    Raises
    ------
    FileNotFoundError
        There is nothing, or no such version.
    OptionError
        It is no dataset, or has no such tag.
    """
    path = arguments.path
    if not is_dataset(path):
        if not Path(path).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        raise OptionError(f"{path} is a file; {arguments.verb} is for datasets, which are folders")
    from lancelet.datasets.dataset import dataset

    return dataset(path, getattr(arguments, "version", None), tag=getattr(arguments, "tag", None))


def blob_handling(dataset: Dataset) -> str:
    """Return what is shown of blobs, as of those of files: values, but descriptors of the second kind."""
    from lancelet.schema.blobs import BLOB_V2
    from lancelet.schema.logical import EXTENSION_NAME

    has_second_kind = any(field.metadata.get(EXTENSION_NAME) == BLOB_V2 for field in dataset.fields.walk())
    return "blobs_descriptions" if has_second_kind else "all_binary"
