"""The file writer: what it refuses, in which order, and what it leaves behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pytest

from lancelet import ColumnOptions, FileReader, FileWriter, OptionError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.lance"


@pytest.fixture
def table():
    return pa.table({"n": pa.array([1, None, 3]), "s": ["a", "bb", None]})


def test_names_of_pylance():
    import lancelet.file

    assert lancelet.LanceFileWriter is lancelet.FileWriter is lancelet.file.LanceFileWriter
    assert lancelet.LanceFileReader is lancelet.FileReader is lancelet.file.LanceFileReader


@pytest.mark.parametrize("version", ["2.1", "2.2", "stable", "STABLE"])
def test_versions(path, table, version):
    with FileWriter(path, version=version) as writer:
        writer.write_table(table)
    expected = "2.2" if version.lower() == "stable" else version
    assert writer.version == expected
    with FileReader(path) as reader:
        assert reader.version.text == expected
        assert reader.read_all().to_table().equals(table)


@pytest.mark.parametrize("version", ["2", "2.4", "legacy", ""])
def test_versions_that_do_not_exist(path, version):
    with pytest.raises(OptionError, match=r"2\.1"):
        FileWriter(path, version=version)


def test_everything_that_gives_batches(path, table):
    for data in (table, table.to_batches(), iter(table.to_batches()), table.to_reader()):
        with FileWriter(path) as writer:
            writer.write_batches(data)
        assert FileReader(path).read_all().to_table().equals(table)


def test_lazy_schema_comes_with_the_first_batch_even_without_rows(path, table):
    with FileWriter(path) as writer:
        writer.write_batch(table.to_batches()[0].slice(0, 0))
    with FileReader(path) as reader:
        assert reader.num_rows == 0
        assert reader.schema == table.schema
        assert reader.read_all().to_table().equals(table.slice(0, 0))
        assert list(reader.read_all().to_batches()) == []


def test_a_file_without_schema_is_refused(path):
    writer = FileWriter(path)
    with pytest.raises(OptionError, match="no schema"):
        writer.finish()
    writer.abort()
    assert list(path.parent.iterdir()) == []


def test_a_block_that_ends_without_schema_leaves_nothing(path):
    writer = FileWriter(path)
    with pytest.raises(OptionError, match="no schema"), writer:
        pass
    assert list(path.parent.iterdir()) == []
    assert "aborted" in repr(writer)


def test_columns_are_found_by_name_and_further_ones_ignored(path, table):
    with FileWriter(path, table.schema) as writer:
        writer.write_table(table.select(["s", "n"]).append_column("more", pa.array([1, 2, 3])))
    assert FileReader(path).read_all().to_table().equals(table)


def test_missing_column_is_found_before_the_wrong_type(path, table):
    with FileWriter(path, table.schema) as writer:
        with pytest.raises(OptionError, match="no column 'n'; it has 's'"):
            writer.write_batch(pa.record_batch({"s": [1]}))
        with pytest.raises(OptionError, match="column 's' has type int64; the file stores string"):
            writer.write_batch(
                pa.record_batch({"n": pa.array([], pa.int64()), "s": pa.array([], pa.int64())})
            )
        writer.write_table(table)
    assert FileReader(path).num_rows == 3


def test_a_table_without_rows_is_checked_too(path, table):
    with FileWriter(path, table.schema) as writer:
        with pytest.raises(OptionError, match="no column 'n'"):
            writer.write_table(pa.table({"s": pa.array([], pa.string())}))
        writer.write_table(table.slice(0, 0))
    assert FileReader(path).num_rows == 0


def test_more_rows_than_a_batch_may_have(path):
    with FileWriter(path) as writer:
        with pytest.raises(OptionError, match=r"4294967295 rows \(2\^32 - 1\)"):
            writer.write_batch(pa.record_batch({"n": pa.nulls(2**32)}))
        writer.write_batch(pa.record_batch({"n": pa.nulls(5)}))
    assert FileReader(path).num_rows == 5


def test_visible_nulls_in_a_field_that_allows_none(path):
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    with FileWriter(path, schema) as writer:
        with pytest.raises(OptionError, match="field 'n' is not nullable, and the batch has 1 nulls"):
            writer.write_batch(pa.record_batch({"n": [1, None]}))
        writer.write_batch(pa.record_batch({"n": [1, 2]}))
    assert FileReader(path).schema == schema


def test_second_finish_and_writing_after_it(path, table):
    writer = FileWriter(path)
    writer.write_table(table)
    assert writer.finish() == 3
    for call in (writer.finish, lambda: writer.write_table(table), lambda: writer.add_global_buffer(b"x")):
        with pytest.raises(OptionError, match="the writer is finished"):
            call()
    assert writer.close() is None
    writer.abort()
    assert FileReader(path).num_rows == 3


def test_global_buffers_and_schema_metadata(path, table):
    with FileWriter(path, table.schema.with_metadata({"a": "1", "b": "2"})) as writer:
        assert writer.add_global_buffer(b"first") == 1
        writer.add_schema_metadata("b", "3")
        writer.write_table(table)
        assert writer.add_global_buffer(b"") == 2
        assert writer.tell() % 64 == 0
        assert writer.field_id_to_column_indices == [(0, 0), (1, 1)]
    with FileReader(path) as reader:
        assert [reader.read_global_buffer(i) for i in (1, 2)] == [b"first", b""]
        assert reader.schema.metadata == {b"a": b"1", b"b": b"3"}


@pytest.mark.parametrize(("key", "value"), [(1, "v"), ("k", 2), ("k", b"v"), ("k", "\ud800"), (None, "v")])
def test_schema_metadata_that_is_no_text_costs_nothing(path, table, key, value):
    with FileWriter(path) as writer:
        writer.write_table(table)
        with pytest.raises(OptionError, match="schema metadata is Unicode text"):
            writer.add_schema_metadata(key, value)
    assert FileReader(path).num_rows == 3


def test_an_exception_leaves_nothing(path, table):
    with pytest.raises(RuntimeError, match="mine"), FileWriter(path) as writer:  # noqa: PT012
        writer.write_table(table)
        raise RuntimeError("mine")
    assert list(path.parent.iterdir()) == []


def test_an_exception_keeps_the_file_that_was_there(path, table):
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="mine"), FileWriter(path) as writer:  # noqa: PT012
        writer.write_table(table)
        raise RuntimeError("mine")
    assert path.read_bytes() == b"old"


def test_a_dropped_writer_leaves_nothing(path, table):
    writer = FileWriter(path)
    writer.write_table(table)
    del writer
    gc.collect()
    assert list(path.parent.iterdir()) == []


def test_a_killed_writer_leaves_nothing_under_the_name(path):
    program = f"""
        import os, signal
        import pyarrow as pa
        from lancelet import FileWriter

        writer = FileWriter({str(path)!r}, data_cache_bytes=0)
        writer.write_batch(pa.record_batch({{"n": list(range(1000))}}))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, check=False)
    assert run.returncode == -signal.SIGKILL
    assert not path.exists()


def test_an_encoder_that_fails_gives_the_file_up(path, table, monkeypatch):
    import lancelet.fields.encoder as encoder

    writer = FileWriter(path, data_cache_bytes=0)
    monkeypatch.setattr(encoder, "flat_leaf", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.write_table(table)
    with pytest.raises(OptionError, match="the writer is aborted"):
        writer.finish()
    assert list(path.parent.iterdir()) == []


def test_types_that_cannot_be_written(path):
    with pytest.raises(OptionError, match="interval"):
        FileWriter(path, pa.schema([("i", pa.month_day_nano_interval())]))
    assert list(path.parent.iterdir()) == []


def test_options_are_checked(path, table):
    with pytest.raises(OptionError, match="max_page_bytes"):
        FileWriter(path, max_page_bytes=0)
    with pytest.raises(OptionError, match="data_cache_bytes"):
        FileWriter(path, data_cache_bytes=-1)
    for name in ("max_page_bytes", "data_cache_bytes"):
        with pytest.raises(OptionError, match=f"{name} is '8'; it must be a number of bytes"):
            FileWriter(path, **{name: "8"})
    for schema in ("n", {"n": "int64"}, table):
        with pytest.raises(OptionError, match=r"must be a pyarrow\.Schema"):
            FileWriter(path, schema)
    for columns in (["n"], "n"):
        with pytest.raises(OptionError, match="must map names of columns to ColumnOptions"):
            FileWriter(path, table.schema, columns=columns)
    with pytest.raises(OptionError, match="structural_encoding is 'sparse'"):
        ColumnOptions(structural_encoding="sparse")
    with pytest.raises(OptionError, match="columns= names 'x', which is no field"):
        FileWriter(path, table.schema, columns={"x": ColumnOptions()})
    assert list(path.parent.iterdir()) == []


def pages_of(path, column=0):
    with FileReader(path) as reader:
        return [page.num_rows for page in reader.metadata()[column].pages]


def test_pages_are_cut_when_the_cache_is_full(path):
    batch = pa.record_batch({"a": np.arange(1000), "b": np.arange(1000)})
    with FileWriter(path, data_cache_bytes=40_000) as writer:
        for _ in range(10):
            writer.write_batch(batch)
    assert pages_of(path) == [3000, 3000, 3000, 1000]


def test_slices_are_charged_what_they_show(path):
    whole = pa.record_batch({"a": np.arange(100_000)})
    with FileWriter(path) as writer:
        for start in range(0, 100_000, 1000):
            writer.write_batch(whole.slice(start, 1000))
    assert pages_of(path) == [100_000]
    assert FileReader(path).read_all().to_table().to_batches()[0].equals(whole)


def test_one_row_is_never_cut(path):
    values = ["x" * 100_000, "y" * 10, "z" * 300_000]
    with FileWriter(path, max_page_bytes=1000) as writer:
        writer.write_batch(pa.record_batch({"s": values}))
    assert pages_of(path) == [1, 1, 1]
    assert FileReader(path).read_all().to_table()["s"].to_pylist() == values


def test_bytes_do_not_depend_on_what_lies_below_nulls(tmp_path):
    validity = pa.py_buffer(b"\x05")
    written = []
    for garbage in (0, 77):
        ints = pa.Array.from_buffers(pa.int64(), 3, [validity, pa.py_buffer(np.array([1, garbage, 3]))])
        texts = pa.array(["a", "x" * garbage, "c"])
        texts = pa.Array.from_buffers(pa.string(), 3, [validity, *texts.buffers()[1:]])
        path = tmp_path / f"{garbage}.lance"
        with FileWriter(path) as writer:
            writer.write_batch(pa.record_batch({"i": ints, "s": texts}))
        written.append(path.read_bytes())
    assert written[0] == written[1]
