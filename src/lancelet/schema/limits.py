"""Which fields a file version can hold (versions.md 3.1); what depends on the data is checked where data is encoded.

==============================================  ======  ======  ======  ======
field                                           2.0     2.1     2.2     2.3
==============================================  ======  ======  ======  ======
map                                             no      no      yes     yes
fixed-size list of structs                      no      no      yes     yes
... inside of a list                            no      no      no      yes
packed struct, fixed-size list as child         yes     no      yes     yes
packed struct, variable-width child             no      no      yes     yes
packed struct, bool, null, dictionary, or       no      no      no      no
nested child
empty struct inside of a list                   yes     no      no      yes
blob (``lance-encoding:blob``)                  yes     yes     yes     no
... inside of a list                            yes     no      no      no
blob v2 (``lance.blob.v2``)                     no      no      yes     yes
==============================================  ======  ======  ======  ======
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.schema.blobs import BLOB, BLOB_V2
from lancelet.schema.logical import EXTENSION_NAME, FSL_OF_STRUCT, LISTS, VARIABLE_WIDTH
from lancelet.schema.project import PACKED_KEYS, is_packed
from lancelet.versions import Version

if TYPE_CHECKING:
    from lancelet.schema.fields import Field, Schema

__all__ = ["check_version"]


def check_version(schema: Schema, version: Version) -> None:
    """Check that a file of `version` can hold the fields of a schema.

    Raises
    ------
    OptionError
        It cannot; the message names the field and, where there is one, the version that can.
    """
    for top in schema.fields:
        _check(top, top.name, version, in_list=False)


def _check(field: Field, path: str, version: Version, *, in_list: bool) -> None:
    def need(wanted: Version, what: str) -> None:
        if version < wanted:
            raise OptionError(
                f"field {path!r}: {what} cannot be stored in version {version.text}, only from {wanted.text} on"
            )

    if field.logical_type == "map":
        need(Version.V2_2, "a map")
    if FSL_OF_STRUCT.fullmatch(field.logical_type):
        need(Version.V2_3 if in_list else Version.V2_2, "a fixed-size list of structs")
        if _has_empty_struct(field):
            need(Version.V2_3, "an empty struct inside of a list")
    if field.logical_type == "struct":
        if not field.children and in_list and version != Version.V2_0:
            need(Version.V2_3, "an empty struct inside of a list")
        _check_packed(field, path, version)
    if field.metadata.get(EXTENSION_NAME) == BLOB_V2:
        need(Version.V2_2, "a blob of the second kind")
    elif BLOB in field.metadata:
        _check_blob(field, path, version, in_list)
    below = in_list or field.logical_type in LISTS or field.logical_type == "map"
    for child in field.children:
        _check(child, f"{path}.{child.name}", version, in_list=below)


def _has_empty_struct(field: Field) -> bool:
    if not field.children:
        return field.logical_type == "struct"
    return any(map(_has_empty_struct, field.children))


def _check_blob(field: Field, path: str, version: Version, in_list: bool) -> None:
    if field.logical_type == "struct":
        raise OptionError(
            f"field {path!r}: descriptors of blobs point into the file they were read from and cannot be written; "
            "read the values of a file (blobs='values'), and write a dataset or a scanner itself, not a table of it"
        )
    if field.logical_type != "large_binary":
        raise OptionError(
            f"field {path!r}: a blob ({BLOB}) must be of type large_binary, not {field.arrow_type}"
        )
    if version >= Version.V2_3:
        raise OptionError(f"field {path!r}: version {version.text} has no blobs of the first kind ({BLOB})")
    if in_list and version != Version.V2_0:
        raise OptionError(
            f"field {path!r}: a blob ({BLOB}) inside of a list cannot be read back by any reader"
        )


def _check_packed(field: Field, path: str, version: Version) -> None:
    for key in PACKED_KEYS:
        value = field.metadata.get(key)
        if value is not None and (value if version == Version.V2_0 else value.lower()) != "true":
            raise OptionError(f"field {path!r}: {key} is {value!r}; it must be 'true', or not be there")
    if not is_packed(field, version):
        return
    if not field.children:
        raise OptionError(f"field {path!r}: a packed struct needs children")
    for child in field.children:
        what = f"field {path!r}: a packed struct with a child of type {child.arrow_type} ({child.name!r})"
        if version != Version.V2_0 and not _can_be_packed(child):
            raise OptionError(f"{what} cannot be stored in version {version.text}")
        variable = child.logical_type in VARIABLE_WIDTH or bool(child.children)
        list_ = child.logical_type.startswith("fixed_size_list:") and version == Version.V2_1
        if version < Version.V2_2 and (variable or list_):
            raise OptionError(f"{what} cannot be stored in version {version.text}, only from 2.2 on")


def _can_be_packed(child: Field) -> bool:
    """Whether values have whole bytes and no structure of their own."""
    type_, num_items = child.storage_type, 1
    while pa.types.is_fixed_size_list(type_):
        type_, num_items = type_.value_type, num_items * type_.list_size
    if (
        pa.types.is_nested(type_)
        or pa.types.is_dictionary(type_)
        or pa.types.is_null(type_)
        or BLOB in child.metadata
    ):
        return False
    return not pa.types.is_boolean(type_) or (type_ != child.storage_type and num_items % 8 == 0)
