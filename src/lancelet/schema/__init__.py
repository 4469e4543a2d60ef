"""Types: the fields of a file, the strings that name their types, and the physical columns that hold them."""

from lancelet.schema.fields import Field, Schema
from lancelet.schema.project import columns_of, project

__all__ = ["Field", "Schema", "columns_of", "project"]
