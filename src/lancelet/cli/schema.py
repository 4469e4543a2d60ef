"""``lancelet schema``: the fields of a file or a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.cli.arguments import add_json, add_path
from lancelet.cli.output import MAX_METADATA_CHARACTERS, Heading, clipped, show_json, show_line, show_table
from lancelet.cli.places import check_file, is_dataset, open_dataset

if TYPE_CHECKING:
    import argparse

    from lancelet.schema.fields import Schema

NAME = "schema"
HELP = "fields with their ids and types"
DESCRIPTION = """\
Show the fields of a file or a dataset: ids, Arrow types, the logical types that are stored, nullability, metadata."""
EPILOG = """\
Child fields stand indented below their parents. Field ids need be neither dense nor ordered.
Long metadata is cut; --json has all of it.

examples:
  lancelet schema flights.lance
  lancelet schema flights.lance --json
  lancelet schema flights --tag january"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_path(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the schema."""
    if is_dataset(arguments.path):
        schema = open_dataset(arguments).fields
    else:
        check_file(arguments)
        schema = _schema_of_file(arguments.path)
    if arguments.json:
        show_json(_to_dict(schema))
    else:
        _show(schema)


def _schema_of_file(path: str) -> Schema:
    from lancelet.anatomy.columns import read_schema
    from lancelet.container.reader import Container
    from lancelet.storage import open_source

    with open_source(path) as source:
        return read_schema(Container.open(source))


def _show(schema: Schema) -> None:
    from lancelet.anatomy.columns import field_paths

    headings = [
        Heading("id", right=True),
        *map(Heading, ("field", "type", "stored as", "nullable", "metadata")),
    ]
    rows = [
        (
            str(field.id),
            "  " * depth + field.name,
            str(field.arrow_type),
            field.logical_type,
            "yes" if field.nullable else "no",
            ", ".join(
                f"{key}={clipped(value, MAX_METADATA_CHARACTERS)}"
                for key, value in sorted(field.metadata.items())
            ),
        )
        for _, depth, field in field_paths(schema)
    ]
    show_table(headings, rows)
    if schema.metadata:
        show_line()
        show_line("schema metadata")
        for key, value in sorted(schema.metadata.items()):
            show_line(f"  {key} = {clipped(value, MAX_METADATA_CHARACTERS)}")


def _to_dict(schema: Schema) -> dict[str, object]:
    from lancelet.anatomy.columns import field_paths

    fields = [
        {
            "id": field.id,
            "parent_id": field.parent_id,
            "path": path,
            "type": str(field.arrow_type),
            "logical_type": field.logical_type,
            "nullable": field.nullable,
            "metadata": dict(sorted(field.metadata.items())),
        }
        for path, _, field in field_paths(schema)
    ]
    return {"fields": fields, "metadata": dict(sorted(schema.metadata.items()))}
