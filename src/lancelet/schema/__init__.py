"""Types: the fields of a file, the strings that name their types, and the physical columns that hold them."""

from lancelet.schema.fields import Field, Schema
from lancelet.schema.limits import check_version
from lancelet.schema.project import columns_of, project

__all__ = ["Field", "Schema", "check_version", "columns_of", "project"]
