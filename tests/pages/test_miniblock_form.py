"""Forms of mini-block pages are remembered, but for what may change: the number of slots, and codecs from outside."""

from __future__ import annotations

import pytest

from lancelet.errors import FormatError
from lancelet.pages import miniblock_form
from lancelet.pages.miniblock_form import form_of
from lancelet.pb.encodings21_pb2 import CompressiveEncoding, Flat, MiniBlockLayout


def message(bits: int = 32, num_items: int = 5) -> MiniBlockLayout:
    return MiniBlockLayout(
        value_compression=CompressiveEncoding(flat=Flat(bits_per_value=bits)),
        layers=[1],
        num_buffers=1,
        num_items=num_items,
    )


def test_pages_that_differ_in_their_slots_share_a_form() -> None:
    first = message()
    assert form_of(first) is form_of(message(num_items=7))
    assert first.num_items == 5
    assert form_of(message(bits=64)).value_codec != form_of(first).value_codec


def test_a_damaged_message_is_refused_every_time() -> None:
    damaged = message()
    damaged.num_buffers = 2
    for _ in range(2):
        with pytest.raises(FormatError, match="value buffers"):
            form_of(damaged)


def test_few_forms_and_no_large_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(miniblock_form, "_forms", {})
    monkeypatch.setattr(miniblock_form, "_MOST_FORMS", 3)
    for bits in range(8, 72, 8):
        form_of(message(bits))
        assert len(miniblock_form._forms) <= 3
    miniblock_form._forms.clear()
    monkeypatch.setattr(miniblock_form, "_MOST_BYTES", 3)
    assert form_of(message()) == form_of(message())
    assert not miniblock_form._forms


def test_codecs_from_outside_are_looked_up_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(miniblock_form, "_has_plugin", lambda _: True)
    monkeypatch.setattr(miniblock_form, "_forms", {})
    form_of(message())
    assert not miniblock_form._forms
    monkeypatch.undo()
    inner = CompressiveEncoding()
    inner.plugin.type_url = "example/own"
    outer = message()
    assert not miniblock_form._has_plugin(outer)
    outer.value_compression.general.values.CopyFrom(inner)
    assert miniblock_form._has_plugin(outer)
