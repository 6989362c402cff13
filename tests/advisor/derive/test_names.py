"""Names of GPUs and models as people write them: taken for what they mean, or refused with what they may mean."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from advisor.derive.gpus import gpu as gpus
from advisor.derive.llm import model_shape
from advisor.errors import InputError

GPUS, MODELS = sorted(gpus.catalogue().gpus), sorted(model_shape.catalogue())


def suggested(message: str) -> str:
    """What a refusal names as near, without the list of all there are."""
    assert "\n" not in message
    return message.partition("; known GPUs")[0].partition("; any other is derived")[0].partition("in the catalogue")[2]


def gpu_or_hints(name: str) -> tuple[str | None, str]:
    try:
        return gpus.short_name(name), ""
    except InputError as error:
        return None, suggested(str(error))


def model_or_hints(name: str) -> tuple[str | None, str]:
    try:
        return model_shape.hub_id(name), ""
    except InputError as error:
        return None, suggested(str(error))


@st.composite
def typos(draw: st.DrawFn, names: list[str]) -> tuple[str, str]:
    """A name, and the same with a letter too many, missing, wrong, or swapped with the next."""
    name = draw(st.sampled_from(names))
    at = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from(string.ascii_lowercase + string.digits + "-"))
    swapped = name[:at] + name[at : at + 2][::-1] + name[at + 2 :]
    others = [name[:at] + letter + name[at:], name[:at] + name[at + 1 :], name[:at] + letter + name[at + 1 :], swapped]
    return name, draw(st.sampled_from(others))


def cased(name: str, how: str) -> str:
    return {"upper": name.upper(), "title": name.title(), "lower": name.lower()}[how]


@given(
    st.sampled_from(GPUS),
    st.sampled_from(["", "nvidia-", "NVIDIA ", "nvidia_", "GPU "]),
    st.sampled_from(["upper", "title", "lower"]),
    st.sampled_from(["-", " ", "_", ""]),
    st.booleans(),
)
def test_spellings_of_a_gpu_are_taken_for_it(name: str, prefix: str, how: str, between: str, gb: bool) -> None:
    written = prefix + cased(name if gb else name.removesuffix("gb"), how).replace("-", between)
    found, hints = gpu_or_hints(written)
    if between:  # with nothing between, no telling where a number ends: "a10080gb"
        assert found == name
    else:
        assert found == name or f"'{name}'" in hints


@given(typos(GPUS), st.sampled_from(["", "nvidia-", "NVIDIA "]), st.booleans(), st.booleans())
def test_a_gpu_with_one_typo_is_named(typo: tuple[str, str], prefix: str, upper: bool, spaced: bool) -> None:
    name, written = typo
    written = prefix + (written.upper() if upper else written).replace("-", " " if spaced else "-")
    found, hints = gpu_or_hints(written)
    assume(found in (None, name))  # some typos are another GPU's name
    assert found == name or f"'{name}'" in hints, written


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a100-80", "a100-80gb"),
        ("A100 80", "a100-80gb"),
        ("a100 40", "a100-40gb"),
        ("H100 64", "h100-64gb"),
        ("H100-SXM5", "h100-80gb"),
        ("H100SXM", "h100-80gb"),
        ("H100PCIe", "h100-pcie"),
        ("H100 NVL 94GB", "h100-nvl"),
        ("nvidia-h100-mega-80gb", "h100-80gb"),
        ("RTX4090", "rtx-4090"),
        ("RTXA6000", "rtx-a6000"),
        ("MI300X-192", "mi300x"),
        ("RTX 3090 24 GB", "rtx-3090"),
    ],
)
def test_sizes_and_builds_are_understood_as_people_write_them(written: str, meant: str) -> None:
    assert gpus.short_name(written) == meant


@pytest.mark.parametrize(
    ("written", "members"),
    [
        ("H100 96GB", ["h100-64gb", "h100-80gb", "h100-pcie", "h100-nvl"]),
        ("a100-64gb", ["a100-40gb", "a100-80gb"]),
        ("A100 64", ["a100-40gb", "a100-80gb"]),
        ("nvdia H100", ["h100-64gb", "h100-80gb", "h100-pcie", "h100-nvl"]),
        ("RTX", [name for name in GPUS if name.startswith("rtx")]),
        ("MI300", ["mi300x"]),
        ("h1", ["h100-64gb", "h100-80gb", "h100-pcie", "h100-nvl"]),
    ],
)
def test_a_family_lists_its_members(written: str, members: list[str]) -> None:
    found, hints = gpu_or_hints(written)
    assert found is None and all(f"'{member}'" in hints for member in members)


@pytest.mark.parametrize("written", ["RTX 2080", "V100", "Gaudi 3", "cpu", "", "   ", "--", "-gb"])
def test_what_resembles_nothing_gets_no_hint(written: str) -> None:
    assert gpu_or_hints(written) == (None, "")


@pytest.mark.parametrize(
    ("written", "others"),
    [
        ("H100", ["h100-64gb", "h100-pcie", "h100-nvl"]),
        ("A100", ["a100-40gb"]),
        ("RTX 6000", ["rtx-pro-6000"]),
        ("NVIDIA H100 80GB HBM3", []),
        ("H100 SXM", ["h100-64gb"]),
        ("NVIDIA RTX 6000 Ada Generation", []),
        ("H100 PCIe", []),
        ("L40S", []),
        ("h100-80gb", []),
    ],
)
def test_whom_a_name_may_mean_as_well_is_known(written: str, others: list[str]) -> None:
    first, *rest = gpus.candidates(written)
    assert first == gpus.short_name(written) and sorted(rest) == sorted(others)


@given(typos(MODELS), st.booleans(), st.booleans(), st.booleans())
def test_a_model_with_one_typo_is_named(typo: tuple[str, str], owner: bool, upper: bool, spaced: bool) -> None:
    name, written = typo
    written = written if owner else written.rpartition("/")[2]
    written = (written.upper() if upper else written).replace("-", " " if spaced else "-")
    found, hints = model_or_hints(written)
    assume(found in (None, name))
    assert found == name or name in hints, written


@pytest.mark.parametrize(
    ("written", "members"),
    [
        ("llama-3.1", ["Llama-3.1-8B-Instruct", "Llama-3.1-8B", "Llama-3.1-70B-Instruct", "Llama-3.1-405B-Instruct"]),
        ("Llama 3.1", ["Llama-3.1-8B-Instruct", "Llama-3.1-405B-Instruct"]),
        ("Qwen2.5", [name for name in MODELS if "Qwen2.5" in name][:4]),
        ("Qwen 3", ["Qwen/Qwen3-8B", "Qwen/Qwen3-32B"]),
        ("phi4", ["microsoft/phi-4"]),
        ("gemma-3", ["gemma-3-1b-it", "gemma-3-27b-it"]),
        ("DeepSeek R1", ["DeepSeek-R1-Distill-Llama-8B", "DeepSeek-R1-Distill-Qwen-32B"]),
    ],
)
def test_a_family_of_models_lists_its_members(written: str, members: list[str]) -> None:
    found, hints = model_or_hints(written)
    assert found is None and all(member in hints for member in members), hints


@pytest.mark.parametrize("written", ["", "/", "-", "nobody/knows-this"])
def test_a_model_that_resembles_none_gets_no_hint(written: str) -> None:
    assert model_or_hints(written) == (None, "")


def test_a_clouds_own_name_is_of_the_card_that_it_rents() -> None:
    """Google's nvidia-tesla-a100 has 40 GB: flags were for 80."""
    assert gpus.short_name("nvidia-tesla-a100") == "a100-40gb"
    assert gpus.candidates("NVIDIA-Tesla-A100") == ["a100-40gb"]
    assert gpus.short_name("nvidia-a100-80gb") == "a100-80gb"
