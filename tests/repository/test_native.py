"""Which kernels are loaded, and that the two implementations offer the same."""

from __future__ import annotations

import ast
import inspect
import os
from typing import Any

import pytest

from lancelet import kernels
from lancelet.kernels import reference


def public_names(module: object) -> set[str]:
    """Names of the kernels that `module` offers."""
    return {name for name in dir(module) if not name.startswith("_") and callable(getattr(module, name))}


def native_parameters(kernel: Any) -> list[list[str]]:
    """Parameter names of every overload of a compiled function, from the signatures that the binding keeps."""
    definitions = [ast.parse(f"{signature[0]}: ...").body[0] for signature in kernel.__nb_signature__]
    return [[argument.arg for argument in definition.args.args] for definition in definitions]  # type: ignore[attr-defined]


def test_the_wanted_kernels_are_loaded() -> None:
    wanted = os.environ.get("LANCELET_KERNELS") or (
        "native" if "LANCELET_REQUIRE_NATIVE" in os.environ else None
    )
    if wanted is None:
        pytest.skip(
            "neither LANCELET_KERNELS nor LANCELET_REQUIRE_NATIVE asks for an implementation; make sets the second"
        )
    assert wanted == kernels.IMPLEMENTATION


def test_all_lists_every_twin() -> None:
    assert len(reference.__all__) == len(set(reference.__all__))
    for name in reference.__all__:
        twin = getattr(reference, name)
        assert inspect.isfunction(twin), name
        assert twin.__module__.startswith("lancelet.kernels.reference."), name


def test_both_implementations_offer_the_same_kernels() -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    assert public_names(native) == set(reference.__all__)


def test_both_implementations_take_the_same_parameters() -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    for name in sorted(public_names(native) & set(reference.__all__)):
        expected = list(inspect.signature(getattr(reference, name)).parameters)
        for parameters in native_parameters(getattr(native, name)):
            assert parameters == expected, name
