"""Names and numbers of file versions."""

from __future__ import annotations

import pytest

from lancelet.errors import FormatError, OptionError
from lancelet.versions import Version


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("2.0", Version.V2_0),
        ("0.3", Version.V2_0),
        ("2.1", Version.V2_1),
        ("2.2", Version.V2_2),
        ("stable", Version.V2_2),
        ("STABLE", Version.V2_2),
        ("2.3", Version.V2_3),
        ("Next", Version.V2_3),
        (Version.V2_1, Version.V2_1),
    ],
)
def test_names(name, version):
    assert Version.parse(name) is version


@pytest.mark.parametrize("name", ["legacy", "0.1", "2", "2.4", "0.2", "3.0", "", "v2.1", 2.1, 22, None])
def test_unknown_names_list_what_is_allowed(name):
    with pytest.raises(OptionError, match=r"2\.0, 2\.1, 2\.2, 2\.3, 0\.3, stable, next"):
        Version.parse(name)


def test_footers():
    assert [version.footer for version in Version] == [(0, 3), (2, 1), (2, 2), (2, 3)]
    assert [Version.from_footer(*version.footer) for version in Version] == list(Version)
    assert Version.from_footer(2, 0) is Version.V2_0
    assert [version.text for version in Version] == ["2.0", "2.1", "2.2", "2.3"]
    assert Version.V2_0 < Version.V2_1 < Version.V2_2 < Version.V2_3


def test_a_version_is_shown_by_its_name():
    assert str(Version.V2_2) == f"{Version.V2_2}" == "2.2"
    assert f"{Version.V2_1:>5}" == "  2.1"


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (0, 2)])
def test_the_first_format_has_its_own_message(numbers):
    with pytest.raises(FormatError, match="v1"):
        Version.from_footer(*numbers)


@pytest.mark.parametrize("numbers", [(9, 9), (2, 4), (0, 4), (1, 0), (3, 2)])
def test_unknown_footers_name_the_numbers(numbers):
    with pytest.raises(FormatError, match=f"{numbers[0]}\\.{numbers[1]}"):
        Version.from_footer(*numbers)


def test_page_messages_fit_their_version():
    old, layout, planar = (
        "lance.encodings.ArrayEncoding",
        "lance.encodings21.PageLayout",
        "lance.encodings23.PlanarLayout",
    )
    allowed = {
        version.text: [version.allows_page_type(name) for name in (old, layout, planar)]
        for version in Version
    }
    assert allowed == {
        "2.0": [True, False, False],
        "2.1": [False, True, False],
        "2.2": [False, True, False],
        "2.3": [False, True, True],
    }
    assert all(version.allows_page_type("my.own.Layout") for version in Version)
