"""What config.json files say of packed weights: what is derived of them, and what is refused, in true words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.derive.llm import model_config
from advisor.derive.llm.quantization import precision_in
from advisor.errors import InputError
from tests.advisor.derive.llm.configurations import JSON, LLAMA

W4, W8 = {"num_bits": 4, "type": "int", "symmetric": True}, {"num_bits": 8, "type": "int"}
F8, F4 = {"num_bits": 8, "type": "float"}, {"num_bits": 4, "type": "float"}


def found(quantization: Any) -> str | None:
    return precision_in(model_config.of({**LLAMA, "quantization_config": quantization}))


def groups(*each: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    tables = {
        f"group_{i}": {"weights": w, "input_activations": a, "targets": ["Linear"]} for i, (w, a) in enumerate(each)
    }
    return {"quant_method": "compressed-tensors", "config_groups": tables, **more}


def modelopt(algorithm: str | None, **more: Any) -> dict[str, Any]:
    return {"quant_method": "modelopt", "quant_algo": algorithm, **more}


def torchao(name: str) -> dict[str, Any]:
    return {"quant_method": "torchao", "quant_type": {"default": {"_type": name, "_data": {}}}}


def quark(weight: str, inputs: str | None) -> dict[str, Any]:
    table = {"weight": {"dtype": weight}, "input_tensors": inputs and {"dtype": inputs}, "bias": None}
    return {"quant_method": "quark", "global_quant_config": table, "export": {"kv_cache_group": []}}


@pytest.mark.parametrize(
    ("quantization", "precision"),
    [
        (None, None),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}, "int4"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128}, "int4"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}, "int4"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"-:.*lm_head": {}, "+:.*down": {"bits": 4}}}, "int4"),
        ({"quant_method": "gptq_marlin", "bits": 4}, "int4"),
        (
            {"quant_method": "auto-round", "bits": 4, "data_type": "int", "packing_format": "auto_round:auto_gptq"},
            "int4",
        ),
        ({"quant_method": "auto-round", "bits": 4, "extra_config": {"lm_head": {"bits": 16}}}, "int4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, "int4"),
        ({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "fp8"),
        (groups((F8, F8), format="float-quantized"), "fp8"),
        (groups((W4, None), format="pack-quantized"), "int4"),
        (groups((F8, F8), sparsity_config={"format": "dense"}), "fp8"),
        ({**groups((F8, F8)), "quant_method": "compressed_tensors"}, "fp8"),
        (modelopt("FP8", kv_cache_scheme=F8), "fp8"),
        (modelopt("fp8"), "fp8"),
        (modelopt("FP8_PB_WO"), "fp8"),
        ({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}, "fp8"),
        (quark("fp8_e4m3", "fp8_e4m3"), "fp8"),
        (torchao("Float8DynamicActivationFloat8WeightConfig"), "fp8"),
        (torchao("Int4WeightOnlyConfig"), "int4"),
    ],
)
def test_what_is_understood(quantization: Any, precision: str | None) -> None:
    assert found(quantization) == precision


@pytest.mark.parametrize(
    ("quantization", "said"),
    [
        (
            {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False},
            "8-bit integers by bitsandbytes",
        ),
        (modelopt("NVFP4", config_groups={"group_0": {"weights": F4}}), "weights of NVFP4 by modelopt"),
        (modelopt("W4A16_NVFP4"), "weights of W4A16_NVFP4 by modelopt"),
        (modelopt("MIXED_PRECISION"), "weights of MIXED_PRECISION by modelopt"),
        (modelopt("MXFP8"), "weights of MXFP8 by modelopt"),
        (modelopt(None), "quant_algo is missing"),
        ({"quantization": {"quant_algo": "NVFP4"}}, "weights of NVFP4 by modelopt"),
        (groups((W8, W8)), "weights of 8-bit integers, inputs of 8-bit integers, by compressed-tensors"),
        (groups((W8, None)), "weights of 8-bit integers by compressed-tensors"),
        (groups((W4, W8)), "weights of 4-bit integers, inputs of 8-bit integers, by compressed-tensors"),
        (groups((F4, F4), format="nvfp4-pack-quantized"), "weights of 4-bit floats, inputs of 4-bit floats,"),
        (groups((F8, None)), "weights of 8-bit floats alone by compressed-tensors"),
        (groups((F8, F8), (W4, None)), "weights of several kinds by compressed-tensors (fp8 and int4)"),
        (groups((F8, F8), sparsity_config={"format": "sparse-24-bitmask"}), "sparse weights ('sparse-24-bitmask')"),
        (groups(), "config_groups says nothing"),
        ({"quant_method": "gptq", "bits": 8}, "weights of 8 bits by gptq"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*down": {"bits": 8}}}, "weights of 8 bits by gptq"),
        ({"quant_method": "gptq", "bits": 16}, "weights of 16 bits by gptq"),
        ({"quant_method": "gptq"}, "bits is missing"),
        ({"quant_method": "auto-round", "bits": 4, "data_type": "mx_fp"}, "as 'mx_fp',"),
        (quark("int4", None), "weights of int4, inputs of 16 bits, by quark"),
        (quark("fp4", "fp4"), "weights of fp4"),
        (torchao("Int8WeightOnlyConfig"), "weights of 'Int8WeightOnlyConfig' by torchao"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "weights of 'int4_weight_only' by torchao"),
        *(({"quant_method": each}, f"weights packed by '{each}'") for each in ("mxfp4", "gguf", "experts_int8", "hqq")),
        ({}, "no quant_method"),
        ({"quant_method": 5}, "no quant_method"),
        (5, "quantization_config is 5, but must be a table"),
    ],
)
def test_what_is_refused_is_what_the_file_says(quantization: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        found(quantization)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_weights_are_packed_as_one_of_the_keys_says_that_vllm_looks_at() -> None:
    table = groups((F8, F8))
    for config in ({"compression_config": table}, {"text_config": {**LLAMA, "quantization_config": table}}):
        assert precision_in(model_config.of({**LLAMA, **config})) == "fp8"


METHODS = ("awq", "gptq", "fp8", "compressed-tensors", "bitsandbytes", "modelopt", "quark", "torchao", "auto-round")
KEYS = (
    *("bits", "w_bit", "load_in_8bit", "quant_algo", "config_groups", "sparsity_config", "global_quant_config"),
    *("quant_type", "data_type", "dynamic", "extra_config", "quantization"),
)
WITHIN = st.dictionaries(
    st.sampled_from(
        ("group_0", "weights", "input_activations", "num_bits", "type", "dtype", "default", "_type", "bits")
    ),
    JSON,
)


@given(st.sampled_from(METHODS) | JSON, st.dictionaries(st.sampled_from(KEYS), JSON | WITHIN))
def test_whatever_stands_there_is_a_precision_or_one_line(method: Any, keys: dict[str, Any]) -> None:
    try:
        assert found({"quant_method": method, **keys}) in ("fp8", "int4")
    except InputError as error:
        assert "\n" not in str(error)
