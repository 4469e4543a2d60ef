"""Names of the files of a dataset."""

from __future__ import annotations

import re

import pytest

from lancelet.errors import OptionError
from lancelet.table.formats.names import (
    MAX_VERSION,
    Scheme,
    data_file_name,
    is_detached,
    manifest_path,
    new_deletion_id,
    parse_manifest_name,
    transaction_path,
)


def test_data_files_have_24_binary_and_26_hex_digits_and_never_the_same_name():
    names = {data_file_name() for _ in range(1000)}
    assert len(names) == 1000
    assert all(re.fullmatch(r"[01]{24}[0-9a-f]{26}\.lance", name) for name in names)
    # A UUID of version 4 has its marks in the hex digits, behind the three bytes in binary.
    assert {name[24:][6] for name in names} == {"4"}


@pytest.mark.parametrize("version", [0, 1, 7, 10**18, (1 << 63) - 1])
@pytest.mark.parametrize("scheme", Scheme)
def test_names_of_manifests_are_parsed_back(version, scheme):
    folder, _, name = manifest_path(version, scheme).rpartition("/")
    assert folder == "_versions"
    assert parse_manifest_name(name) == (scheme, version)


def test_known_names_of_manifests():
    assert manifest_path(1) == "_versions/18446744073709551614.manifest"
    assert manifest_path(12, Scheme.V1) == "_versions/12.manifest"
    assert manifest_path(11849952624499269755, Scheme.V1) == "_versions/d11849952624499269755.manifest"
    assert parse_manifest_name("d11849952624499269755.manifest") == ("detached", 11849952624499269755)
    assert is_detached(11849952624499269755)
    assert not is_detached((1 << 63) - 1)


def test_newer_manifests_of_scheme_2_come_first_in_a_listing():
    paths = [manifest_path(version) for version in (1, 9, 10, 99, 100, 10**12)]
    assert sorted(paths, reverse=True) == paths


@pytest.mark.parametrize(
    "name",
    [
        "latest_version_hint.json",
        "18446744073709551614.manifest#1",
        "18446744073709551614.manifest-6a3b",
        ".tmpAb12",
        ".18446744073709551614.manifest.0123456789ab.tmp",
        "manifest",
        ".manifest",
        "-1.manifest",
        "+1.manifest",
        "1 .manifest",
        "1.manifest\n",
        "1_0.manifest",
        "\u0661.manifest",
        "x1.manifest",
        "dd1.manifest",
        "d.manifest",
        "99999999999999999999.manifest",
        "018446744073709551614.manifest",
    ],
)
def test_what_is_no_manifest(name):
    assert parse_manifest_name(name) is None


@pytest.mark.parametrize("version", [-1, MAX_VERSION + 1, 1.0, "1", None, True])
def test_what_is_no_version(version):
    with pytest.raises(OptionError):
        manifest_path(version)


def test_deletion_ids_use_64_bits():
    ids = [new_deletion_id() for _ in range(200)]
    assert len(set(ids)) == 200
    assert 1 << 63 <= max(ids) < 1 << 64


def test_transactions_are_named_after_version_and_uuid():
    assert transaction_path(3, "a-b") == "_transactions/3-a-b.txn"
