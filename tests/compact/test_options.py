"""Options of compaction: names and defaults of pylance, the config of the dataset, and what is refused."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

from lancelet.compact.options import MODES, CompactionOptions
from lancelet.errors import LanceletError, OptionError, UnsupportedError
from lancelet.versions import Version
from oracle import oracle


def test_names_and_defaults_are_those_of_pylance() -> None:
    found = oracle("14.0.2").run(
        """
import inspect
from lance.dataset import DatasetOptimizer
result = list(inspect.signature(DatasetOptimizer.compact_files).parameters)
"""
    )
    names = {field.name for field in dataclasses.fields(CompactionOptions)}
    unknown = set(found) - names - {"self"}
    assert not unknown
    assert CompactionOptions().target_rows_per_fragment == 1024 * 1024
    assert CompactionOptions().materialize_deletions_threshold == 0.1


def test_the_config_gives_defaults_and_arguments_win() -> None:
    config = {
        "lance.compaction.target_rows_per_fragment": "500",
        "lance.compaction.materialize_deletions": "False",
        "lance.compaction.materialize_deletions_threshold": "0.25",
        "lance.compaction.compaction_mode": "reencode",
        "lance.compaction.excluded_fragment_ids": "[3, 1]",
        "lance.compaction.max_bytes_per_file": "1000",
        "lance.compaction.something_of_others": "x",
        "lance.auto_cleanup.interval": "20",
    }
    found = CompactionOptions.of(config, target_rows_per_fragment=7, compaction_mode=None)
    assert found == CompactionOptions(
        target_rows_per_fragment=7,
        materialize_deletions=False,
        materialize_deletions_threshold=0.25,
        compaction_mode="reencode",
        excluded_fragment_ids=(1, 3),
        max_bytes_per_file=1000,
    )
    assert CompactionOptions.of({}) == CompactionOptions()


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("target_rows_per_fragment", "many"),
        ("target_rows_per_fragment", "0"),
        ("materialize_deletions", "yes"),
        ("materialize_deletions_threshold", "nan"),
        ("excluded_fragment_ids", "1;2"),
        ("compaction_mode", "fast"),
        ("data_storage_version", "9.9"),
    ],
)
def test_values_of_the_config_are_checked(key: str, text: str) -> None:
    with pytest.raises(OptionError, match=key if key != "data_storage_version" else "9.9"):
        CompactionOptions.of({f"lance.compaction.{key}": text})


@pytest.mark.parametrize(
    "given",
    [
        {"target_rows_per_fragment": 0},
        {"target_rows_per_fragment": True},
        {"target_rows_per_fragment": 1.5},
        {"target_rows_per_fragment": "5"},
        {"max_bytes_per_file": -1},
        {"num_threads": 0},
        {"memory_limit": 0},
        {"materialize_deletions": 1},
        {"materialize_deletions_threshold": -0.1},
        {"materialize_deletions_threshold": "a"},
        {"materialize_deletions_threshold": 10**400},
        {"materialize_deletions_threshold": -(10**400)},
        {"materialize_deletions_threshold": True},
        {"materialize_deletions_threshold": 1j},
        {"target_rows_per_fragment": np.True_},
        {"target_rows_per_fragment": np.int64(0)},
        {"target_rows_per_fragment": np.float64(5)},
        {"max_rows_per_file": np.array([5])},
        {"compaction_mode": np.array(["hybrid", "reencode"])},
        {"compaction_mode": ["hybrid"]},
        {"excluded_fragment_ids": [True]},
        {"excluded_fragment_ids": [1.0]},
        {"excluded_fragment_ids": [None, None]},
        {"excluded_fragment_ids": [np.int64(-1)]},
        {"excluded_fragment_ids": {3: 4}},
        {"excluded_fragment_ids": np.array(3)},
        {"excluded_fragment_ids": np.array([[3]])},
        {"compaction_mode": "copy"},
        {"excluded_fragment_ids": [-1]},
        {"excluded_fragment_ids": 3},
        {"excluded_fragment_ids": "12"},
        {"data_storage_version": "legacy"},
        {"target_rows_per_fragmnet": 5},
        {"defer_index_remap": True},
        {"data_storage_version": "2.3"},
    ],
)
def test_impossible_values_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(LanceletError):
        CompactionOptions.of({}, **given)


def test_unknown_options_name_the_nearest() -> None:
    with pytest.raises(OptionError, match="target_rows_per_fragment"):
        CompactionOptions.of({}, target_rows=5)
    with pytest.raises(UnsupportedError, match="drop_indices"):
        CompactionOptions.of({}, defer_index_remap=True)


def test_options_travel() -> None:
    options = CompactionOptions(
        excluded_fragment_ids=(5, 2, 5), data_storage_version="stable", max_rows_per_file=3
    )
    assert options.excluded_fragment_ids == (2, 5)
    assert options.version is Version.V2_2
    assert pickle.loads(pickle.dumps(options)) == options
    assert CompactionOptions.from_json(options.to_json()) == options
    for text in ("", "[]", "3", '{"nothing": 1}', '{"target_rows_per_fragment": 0}'):
        with pytest.raises(OptionError):
            CompactionOptions.from_json(text)


def test_numbers_of_numpy_are_numbers() -> None:
    options = CompactionOptions(
        target_rows_per_fragment=np.int64(5),  # type: ignore[arg-type]
        max_bytes_per_file=np.uint8(7),  # type: ignore[arg-type]
        materialize_deletions_threshold=np.float32(0.5),  # type: ignore[arg-type]
        excluded_fragment_ids=np.array([4, 2], np.uint32),  # type: ignore[arg-type]
    )
    assert options == CompactionOptions(
        target_rows_per_fragment=5,
        max_bytes_per_file=7,
        materialize_deletions_threshold=0.5,
        excluded_fragment_ids=(2, 4),
    )
    assert CompactionOptions.from_json(options.to_json()) == options
    assert CompactionOptions(excluded_fragment_ids=[np.int8(3), 3]).excluded_fragment_ids == (3,)  # type: ignore[arg-type,list-item]


def test_each_option_is_described() -> None:
    text = inspect.getdoc(CompactionOptions) or ""
    for field in dataclasses.fields(CompactionOptions):
        assert field.name in text
    assert all(f'"{mode}"' in text for mode in MODES)
