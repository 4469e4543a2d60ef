"""Which kernels are loaded, and that the two implementations offer the same."""

from __future__ import annotations

import ast
import inspect
import os
from importlib import import_module
from pathlib import Path
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


def test_twins_come_from_the_modules_that_list_them() -> None:
    for path in sorted(Path(reference.__file__).parent.glob("*.py")):
        group = (
            import_module(f"lancelet.kernels.reference.{path.stem}") if path.stem != "__init__" else reference
        )
        listed = set(getattr(group, "__all__", ()))
        if listed & public_names(reference):  # a group, not a helper module
            assert listed <= public_names(reference), path.name


def test_both_implementations_offer_the_same_kernels() -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    assert public_names(native) == public_names(reference)


def test_both_implementations_take_the_same_parameters() -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    for name in sorted(public_names(native) & public_names(reference)):
        kernel, twin = getattr(native, name), getattr(reference, name)
        pairs = [(kernel, twin)]
        if inspect.isclass(twin):
            assert public_names(kernel) == public_names(twin), name
            methods = ["__init__", *sorted(public_names(twin))]
            pairs = [(getattr(kernel, method), getattr(twin, method)) for method in methods]
        for compiled, described in pairs:
            expected = list(inspect.signature(described).parameters)
            for parameters in native_parameters(compiled):
                assert parameters == expected, f"{name}.{described.__name__}"
