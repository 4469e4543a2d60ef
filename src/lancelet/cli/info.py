"""``lancelet info``: a file or a dataset in a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.cli.arguments import add_json, add_path
from lancelet.cli.output import (
    MAX_METADATA_CHARACTERS,
    clipped,
    exact_bytes,
    show_json,
    show_line,
    time_text,
)
from lancelet.cli.places import check_file, is_dataset, open_dataset

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from lancelet.anatomy.summary import FileSummary
    from lancelet.datasets.dataset import Dataset

    Lines = list[tuple[str, str]]

NAME = "info"
HELP = "version, rows, columns, sizes"
DESCRIPTION = """\
Show what a file is: version, rows, columns, pages, and where its bytes go; or what a dataset is: version, rows,
fragments, features, indices, tags. Only metadata is read."""
EPILOG = """\
examples:
  lancelet info flights.lance
  lancelet info flights.lance --json | jq .num_rows
  lancelet info flights --version 3

Long metadata is cut; --json has all of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_path(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the summary."""
    if is_dataset(arguments.path):
        found = _dataset_facts(open_dataset(arguments))
        lines = _dataset_lines(found)
    else:
        check_file(arguments)
        from lancelet.anatomy.summary import summarise

        summary = summarise(arguments.path)
        found = _file_facts(summary)
        lines = _file_lines(summary)
    if arguments.json:
        show_json(found)
        return
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        show_line(f"{name.ljust(width)}  {value}")


# ---- files


def _file_lines(summary: FileSummary) -> Lines:
    buffers = summary.global_buffer_bytes
    return [
        ("file", summary.path),
        ("version", summary.version.text),
        ("rows", f"{summary.num_rows:,}"),
        ("columns", f"{summary.num_fields:,} ({summary.num_columns:,} physical)"),
        ("pages", f"{summary.num_pages:,}"),
        ("size", exact_bytes(summary.file_bytes)),
        ("  data", exact_bytes(summary.data_bytes)),
        ("  metadata", exact_bytes(summary.metadata_bytes)),
        ("  padding", exact_bytes(summary.padding_bytes)),
        ("  global buffers", f"{exact_bytes(sum(buffers))} in {len(buffers)}" if buffers else "none"),
        *_mapping_lines("schema metadata", summary.schema_metadata),
    ]


def _file_facts(summary: FileSummary) -> dict[str, Any]:
    return {
        "path": summary.path,
        "version": summary.version.text,
        "num_rows": summary.num_rows,
        "num_fields": summary.num_fields,
        "num_columns": summary.num_columns,
        "num_pages": summary.num_pages,
        "file_bytes": summary.file_bytes,
        "data_bytes": summary.data_bytes,
        "metadata_bytes": summary.metadata_bytes,
        "padding_bytes": summary.padding_bytes,
        "global_buffer_bytes": list(summary.global_buffer_bytes),
        "schema_metadata": dict(sorted(summary.schema_metadata.items())),
    }


# ---- datasets


def _dataset_facts(dataset: Dataset) -> dict[str, Any]:
    from lancelet.table.formats.flags import flag_names

    manifest = dataset.manifest
    fragments = dataset.get_fragments()
    files = [file for fragment in fragments for file in fragment.data_files()]
    writer = manifest.message.writer_version
    return {
        "path": dataset.uri,
        "version": dataset.version,
        "latest_version": dataset.latest_version,
        "timestamp": manifest.timestamp.isoformat(),
        "written_by": f"{writer.library} {writer.version}".strip(),
        "num_rows": dataset.num_rows,
        "num_deleted_rows": sum(fragment.physical_rows for fragment in fragments) - dataset.num_rows,
        "num_fragments": len(fragments),
        "num_data_files": len(files),
        "num_deletion_files": sum(fragment.deletion_file() is not None for fragment in fragments),
        "data_bytes": sum(file.file_size_bytes or 0 for file in files),
        "num_files_of_unknown_size": sum(file.file_size_bytes is None for file in files),
        "num_fields": len(dataset.fields.fields),
        "storage_version": dataset.data_storage_version,
        "stable_row_ids": dataset.has_stable_row_ids,
        "reader_features": flag_names(manifest.message.reader_feature_flags),
        "writer_features": flag_names(manifest.message.writer_feature_flags),
        "indices": [
            {**index, "fragment_ids": sorted(index["fragment_ids"])} for index in dataset.list_indices()
        ],
        "tags": {name: tag.version for name, tag in dataset.tags.list().items() if tag.branch is None},
        "config": dict(sorted(dataset.config().items())),
        "metadata": dict(sorted(dataset.metadata.items())),
        "schema_metadata": dict(sorted(dataset.schema_metadata.items())),
    }


def _dataset_lines(facts: Mapping[str, Any]) -> Lines:
    features = dict.fromkeys((*facts["reader_features"], *facts["writer_features"]))
    latest, deleted, unknown = (
        facts[name] for name in ("latest_version", "num_deleted_rows", "num_files_of_unknown_size")
    )
    return [
        ("dataset", facts["path"]),
        ("version", f"{facts['version']}{'' if latest == facts['version'] else f' (latest: {latest})'}"),
        ("time", time_text(facts["timestamp"])),
        ("written by", facts["written_by"] or "unknown"),
        ("rows", f"{facts['num_rows']:,}"),
        (
            "  deleted",
            f"{deleted:,} (deletion files: {facts['num_deletion_files']:,})" if deleted else "none",
        ),
        ("columns", f"{facts['num_fields']:,}"),
        ("fragments", f"{facts['num_fragments']:,}"),
        ("data files", f"{facts['num_data_files']:,}"),
        (
            "  size",
            exact_bytes(facts["data_bytes"]) + (f", and {unknown} of unknown size" if unknown else ""),
        ),
        ("storage version", facts["storage_version"]),
        ("stable row ids", "yes" if facts["stable_row_ids"] else "no"),
        ("features", ", ".join(name.lower().replace("_", " ") for name in features) or "none"),
        *_mapping_lines("indices", {index["name"]: _index_text(index) for index in facts["indices"]}),
        *_mapping_lines("tags", {name: f"version {version}" for name, version in facts["tags"].items()}),
        *(
            line
            for name in ("config", "metadata", "schema_metadata")
            for line in _mapping_lines(name.replace("_", " "), facts[name])
        ),
    ]


def _index_text(index: Mapping[str, Any]) -> str:
    return f"{index['type']} on {', '.join(index['fields'])}, {len(index['fragment_ids'])} fragments"


def _mapping_lines(title: str, values: Mapping[str, str]) -> Lines:
    lines = [(f"  {key}", clipped(value, MAX_METADATA_CHARACTERS)) for key, value in sorted(values.items())]
    return [(title, "" if lines else "none"), *lines]
