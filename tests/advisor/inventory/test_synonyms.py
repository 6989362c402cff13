"""The key that was meant, where one is not known."""

from __future__ import annotations

import re

import pytest

from advisor.errors import InputError
from advisor.inventory.engine import GpuFigures
from advisor.inventory.inventory import parse
from advisor.inventory.schema import Adapter, Base, File, GpuEntry, Length, Lengths, PhaseEntry, SettingsTable
from advisor.inventory.synonyms import SYNONYMS
from tests.advisor.inventories import PLAIN


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("source", "path", "source"),
        ("source", "lora_path", "source"),
        ("source", "Source", "source"),
        ("rate", "rps", "rate"),
        ("rate", "qps", "rate"),
        ("rate", "requests_per_second", "rate"),
        ("rate", "request-rate", "rate"),
        ("rank", "r", "rank"),
        ("rank", "max_rank", "rank"),
        ("rank", "rnk", "rank"),
        ("count", "copies", "count"),
        ("std", "sigma", "std"),
        ("model", "base_model", "model"),
        ("gpu", "device", "gpu"),
        ("input", "prompt_tokens", "input"),
        ("max_loras", "slots", "max_loras"),
        ("max_loras", "max-loras", "max_loras"),
        ("max_lora_rank", "max_rank", "max_lora_rank"),
        ("rate", "colour", None),
        ("rate", "path2", None),
    ],
)
def test_the_hint_for_an_unknown_key_is_the_key_that_was_meant(old: str, new: str, hint: str | None) -> None:
    text = PLAIN + "[server]\nmax_loras = 8\nmax_lora_rank = 16\n"
    with pytest.raises(InputError) as error:
        parse(re.sub(rf"\b{old} =", f"{new} =", text, count=1))
    expected = f"did you mean {hint!r}?" if hint else "valid keys are name, rank, rate, count, input, output"
    assert f"unknown key {new!r}; {expected}" in str(error.value)


def test_every_synonym_leads_to_a_key_there_is_and_is_none_itself() -> None:
    sections = (File, GpuFigures, GpuEntry, Lengths, Length, Adapter, Base, PhaseEntry, SettingsTable)
    known = {field.alias or key for section in sections for key, field in section.model_fields.items()}
    assert set(SYNONYMS) <= known
    for section in sections:
        words = [word for key in section.model_fields for word in SYNONYMS.get(key, "").split()]
        assert len(set(words)) == len(words), section
        assert not set(words) & set(section.model_fields), section
