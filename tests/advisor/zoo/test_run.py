"""How the servers of a pair are run: its Profile says it, flags and warnings tell it, wherever the pair comes from."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.derive.derive import derive
from advisor.derive.engine import Engine
from advisor.derive.gpus.gpu import Precision
from advisor.derive.llm.model_shape import find
from advisor.errors import InputError
from advisor.zoo import pairs
from advisor.zoo.derived import LORA_FROM, derived_pair, subject_of
from advisor.zoo.models import common_models
from advisor.zoo.pair import Pair, load_pair, shipped
from tests.advisor.derive.llm.configurations import LLAMA
from tests.advisor.small_zoo import profile
from twin.profile import Profile, Provenance, parse

MODEL, META = "Qwen/Qwen3-14B", "meta-llama/Llama-3.1-8B-Instruct"
DONOR = load_pair(shipped() / LORA_FROM).profile
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {name: {"num_bits": 8, "type": "float"} for name in ("weights", "input_activations")}},
}


def read_back(made: Profile) -> Pair:
    """A pair as a zoo has it."""
    return Pair(parse(made.to_toml().encode(), "profile.toml"), common_models()).run()


def zoo_of(folder: Path, *made: Profile) -> Path:
    for i, each in enumerate(made):
        (folder / f"{i}").mkdir()
        (folder / f"{i}" / "profile.toml").write_text(each.to_toml())
    return folder


def of_weights(weights: Precision | None, engine: Engine, model: str = MODEL) -> Profile:
    return derive(
        subject_of(model, "l40s", engine, weights), DONOR, find(DONOR.pair.model), command="made up for tests"
    )


def config_at(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**LLAMA, **changes}))
    return path


@given(
    st.sampled_from(["Qwen/Qwen3-4B", "RedHatAI/Qwen3-14B-FP8-dynamic", "Qwen/Qwen3-14B-AWQ"]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, "fp8"]),
    st.sampled_from([None, "auto", "fp8"]),
)
def test_a_profile_in_a_zoo_says_what_the_inventory_said(model: str, gpus: Any, method: Any, kv: Any) -> None:
    engine = Engine(tensor_parallel=gpus, quantization=method, kv_cache_dtype=kv)
    try:
        made = derived_pair(model, "l40s", engine)
    except InputError:
        assert model.endswith("AWQ") and method
        return
    again = read_back(made.profile)
    assert {name: value for name, value in made.flags.items() if name != "quantization"} == {
        name: value for name, value in again.flags.items() if name != "quantization"
    }
    assert ("quantization" in again.flags) == (method == "fp8" and model == "Qwen/Qwen3-4B")
    assert again.notes == made.notes and again.gpus == (gpus or 1)


def test_4_bits_need_a_checkpoint_that_holds_them_and_the_name_of_one_is_told(tmp_path: Path) -> None:
    plain = of_weights("int4", Engine(kv_cache_dtype="fp8"))
    found = pairs.find_pair(MODEL, "l40s", zoo_of(tmp_path, plain))
    assert found.flags == {"kv_cache_dtype": "fp8"} and found.profile.command == plain.command
    said, unasked = found.notes
    assert unasked.endswith("is run with kv_cache_dtype fp8, as its profile says; the inventory does not say so")
    assert "taken as 4-bit integers" in said and "such as one called Qwen3-14B-AWQ" in said
    by_inventory = pairs.find_pair(MODEL, "l40s", None, Engine(quantization="awq")).notes
    assert any("packs no weights into awq" in each and "called Qwen3-14B-AWQ" in each for each in by_inventory)
    assert not read_back(of_weights(None, Engine(), "Qwen/Qwen3-14B-AWQ")).notes


def test_of_pairs_that_differ_in_bits_the_plain_one_answers_where_nobody_says(tmp_path: Path) -> None:
    made = [of_weights("int4", Engine()), of_weights("fp8", Engine()), of_weights("bf16", Engine(kv_cache_dtype="fp8"))]
    zoo = zoo_of(tmp_path, *made, of_weights("bf16", Engine()))
    for engine, weights, flags in (
        (Engine(), "bf16", {}),
        (Engine(kv_cache_dtype="auto"), "bf16", {}),
        (Engine(kv_cache_dtype="fp8_e5m2"), "bf16", {"kv_cache_dtype": "fp8_e5m2"}),
        (Engine(quantization="fp8"), "fp8", {"quantization": "fp8"}),
        (Engine(quantization="gptq_marlin"), "int4", {"quantization": "gptq_marlin"}),
    ):
        found = pairs.find_pair(MODEL, "l40s", zoo, engine)
        assert found.profile.command == "made up for tests" and (found.weights, found.flags) == (weights, flags)


def test_what_a_profile_has_and_the_inventory_does_not_say_is_told(tmp_path: Path) -> None:
    """An fp8 profile lent its --quantization to an inventory that asked for an fp8 KV cache, without a word."""
    zoo = zoo_of(tmp_path, of_weights("fp8", Engine(kv_cache_dtype="fp8")))
    (said,) = pairs.find_pair(MODEL, "l40s", zoo, Engine(kv_cache_dtype="fp8")).notes
    assert "is run with quantization fp8, as its profile says" in said
    both = Engine(kv_cache_dtype="fp8", quantization="fp8", vllm="0.24")
    assert pairs.find_pair(MODEL, "l40s", zoo, both).notes == (
        "vLLM 0.24 is answered by the profile for 0.33.0, of the same generation",
    )
    assert not pairs.find_pair(MODEL, "l40s", zoo, replace(both, vllm="0.33")).notes


def test_the_command_derives_what_the_documents_say_and_recommend_says_it_again(tmp_path: Path) -> None:
    path = tmp_path / "zoo" / "qwen3-14b--l40s" / "profile.toml"
    words = ["--model", MODEL, "--gpu", "l40s", "--weights", "int4", "--kv-cache", "fp8", "-o", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "calibrate", "derive", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "such as one called Qwen3-14B-AWQ" in done.stdout, done.stderr
    found = pairs.find_pair(MODEL, "l40s", tmp_path / "zoo")
    assert found.flags == {"kv_cache_dtype": "fp8"} and any("4-bit integers" in each for each in found.notes)


def test_what_a_configuration_packs_needs_no_flag_from_a_zoo_either(tmp_path: Path) -> None:
    engine = Engine(config=config_at(tmp_path, quantization_config=COMPRESSED))
    made = of_weights(None, engine, "our/own-8b")
    assert made.derivation is not None and (made.derivation.weights, made.derivation.packed) == ("fp8", True)
    assert read_back(made).flags == {} and not read_back(made).notes
    with pytest.raises(InputError, match="weights in int4 are asked for, but our/own-8b holds them in fp8"):
        of_weights("int4", engine, "our/own-8b")
    with pytest.raises(InputError, match=r"config\.json: weights in fp8, but our/own-8b-AWQ is int4 by its name"):
        of_weights(None, engine, "our/own-8b-AWQ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "gemma2", "hidden_size": 3584, "head_dim": 256, "vocab_size": 256000}, "hidden 3584, not 4096"),
        ({"vocab_size": 128264}, "vocabulary 128264, not 128256"),
        ({"num_hidden_layers": 40}, "layers 40, not 32"),
    ],
)
def test_another_model_under_the_name_of_one_that_was_measured(tmp_path: Path, changes: Any, said: str) -> None:
    found = pairs.find_pair(META, "h100-64gb", None, Engine(config=config_at(tmp_path, **changes)))
    assert found.profile.derivation is not None
    assert any(said in note and "the answer is of the file" in note for note in found.notes)


def test_the_measured_models_own_configuration_is_answered_by_what_was_measured(tmp_path: Path) -> None:
    found = pairs.find_pair(META, "h100-64gb", None, Engine(config=config_at(tmp_path)))
    assert found.profile.derivation is None and found.derived_from == find(META) and not found.notes
    packed = Engine(config=config_at(tmp_path, quantization_config=COMPRESSED))
    other = pairs.find_pair(META, "h100-64gb", None, packed)
    assert other.weights == "fp8" and other.profile.derivation is not None and other.flags == {}


def test_a_derived_profile_answers_for_the_configuration_that_it_is_of(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    engine = Engine(config=config_at(tmp_path, num_hidden_layers=20))
    zoo = zoo_of(tmp_path / "zoo", of_weights(None, engine, "our/own"))
    assert pairs.find_pair("our/own", "l40s", zoo, engine).profile.command == "made up for tests"
    other = Engine(config=config_at(tmp_path, num_hidden_layers=24))
    assert pairs.find_pair("our/own", "l40s", zoo, other).profile.command == "advisor"


def test_what_a_measured_server_was_told_is_told_again(tmp_path: Path) -> None:
    flags = ["--enable-lora", "--quantization=fp8", "--kv-cache-dtype=fp8", "--tensor-parallel-size=2"]
    machine = Provenance(machine="ours", memory_gib=80, date="2026-12-01", starts=1, minutes=1, flags=flags)
    zoo = zoo_of(tmp_path, profile().model_copy(update={"provenance": machine}))
    found = pairs.find_pair("tiny-1b", "test-gpu", zoo)
    assert found.flags == {"tensor_parallel_size": 2, "quantization": "fp8", "kv_cache_dtype": "fp8"}
    assert found.gpus == 2 and found.weights == "fp8"
