"""What a model's config.json says its weights are packed into: its `quantization_config`, as vLLM reads it.

Methods and keys are those of vLLM 0.8.5 and 0.32 (`vllm/model_executor/layers/quantization/*.py`). Understood are
weights of 8-bit floats that are multiplied as such, and of 4-bit integers that are multiplied in 16 bits: what is
derived. Everything else is refused by what the configuration says it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from advisor.derive.gpus.gpu import Precision
from advisor.derive.llm.model_config import ModelConfig, shown
from advisor.errors import InputError

Table = Mapping[str, Any]


def precision_in(config: ModelConfig) -> Precision | None:
    """What the weights are packed into; None where nothing says so.

    Raises:
        InputError: they are packed in a way whose cost is not derived, or that vLLM does not load; one line says how.
    """
    found = config.quantization_config
    if found is None:
        return None
    method = found.get("quant_method")
    if method is None and _algorithm(found) is not None:
        method = "modelopt"  # whose own files name no method
    if not isinstance(method, str) or not method:
        raise InputError("quantization_config has no quant_method, by which vLLM knows how weights are packed")
    method = method.lower().replace("compressed_tensors", "compressed-tensors")
    reader = _READERS.get(method)
    if reader is None:
        raise _refused(f"weights packed by {shown(method)}")
    return reader(found, method)


def _refused(what: str) -> InputError:
    return InputError(
        f"quantization_config: {what} are not derived; bf16, fp8 and 4-bit integers (AWQ, GPTQ, bitsandbytes) are"
    )


def _fp8(_: Table, __: str) -> Precision:
    """Methods that know no other weights."""
    return "fp8"


def _integers(found: Table, method: str) -> Precision:
    """AWQ, GPTQ and AutoRound: so many bits; `dynamic` of GPTQ and `extra_config` of AutoRound have modules' own."""
    bits = found.get("bits") if found.get("bits") is not None else found.get("w_bit")
    if bits is None:
        raise InputError(f"quantization_config: bits is missing, without which vLLM loads no weights of {method}")
    kind = found.get("data_type") or "int"
    if not isinstance(kind, str) or not kind.startswith("int"):
        raise _refused(f"weights of {shown(bits)} bits by {method}, as {shown(kind)},")
    others = [found.get(key) for key in ("dynamic", "extra_config")]
    modules = [module for table in others if isinstance(table, dict) for module in table.values()]
    for each in (bits, *(module.get("bits", bits) for module in modules if isinstance(module, dict))):
        if each not in (4, 16):  # of single modules 16: they stay as they were, and are few
            raise _refused(f"weights of {shown(each)} bits by {method}")
    if bits != 4:
        raise _refused(f"weights of {shown(bits)} bits by {method}")
    return "int4"


def _bitsandbytes(found: Table, method: str) -> Precision:
    """4 bits, unless it says 8."""
    if found.get("load_in_8bit"):
        raise _refused(f"weights of 8-bit integers by {method}")
    return "int4"


def _modelopt(found: Table, method: str) -> Precision:
    """NVIDIA's: the algorithm tells, whatever the method is called."""
    algorithm = _algorithm(found)
    if algorithm is None:
        raise InputError(f"quantization_config: quant_algo is missing, without which vLLM loads no weights of {method}")
    if algorithm not in ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO"):
        raise _refused(f"weights of {algorithm} by {method}")
    return "fp8"


def _algorithm(found: Table) -> str | None:
    """The algorithm that NVIDIA's layouts name: at the top, or in a table of its own."""
    inner = found.get("quantization")
    name = found.get("quant_algo") or (inner.get("quant_algo") if isinstance(inner, dict) else None)
    return name.upper() if isinstance(name, str) else None


def _compressed_tensors(found: Table, method: str) -> Precision:
    """Groups of layers, each with weights of a type and bits, and inputs that are packed, too, or are not."""
    sparsity = found.get("sparsity_config")
    if isinstance(sparsity, dict) and sparsity.get("format") not in (None, "dense"):
        raise _refused(f"sparse weights ({shown(sparsity.get('format'))}) by {method}")
    groups = found.get("config_groups")
    layers = [each for each in groups.values() if isinstance(each, dict)] if isinstance(groups, dict) else []
    # Groups of whole attentions say how the KV cache is packed.
    kinds = {_group(each, method) for each in layers if not _of_attention(each.get("targets"))}
    if not kinds:
        raise InputError(f"quantization_config: config_groups says nothing of weights packed by {method}")
    if len(kinds) > 1:
        raise _refused(f"weights of several kinds by {method} ({' and '.join(sorted(kinds))})")
    return kinds.pop()


def _of_attention(targets: object) -> bool:
    return isinstance(targets, list) and len(targets) == 1 and str(targets[0]).endswith("Attention")


def _group(group: Table, method: str) -> Precision:
    weights, inputs = _packed(group.get("weights")), _packed(group.get("input_activations"))
    if weights == ("float", 8) and inputs == ("float", 8):
        return "fp8"
    if weights == ("int", 4) and inputs is None:
        return "int4"
    of_inputs = f", inputs of {_words(inputs)}," if inputs else " alone" if weights == ("float", 8) else ""
    raise _refused(f"weights of {_words(weights)}{of_inputs} by {method}")


def _packed(found: object) -> tuple[object, object] | None:
    """Type and bits, compressed-tensors' defaults where it leaves one out."""
    if not isinstance(found, dict):
        return None
    bits = found.get("num_bits", 8)
    return found.get("type", "int"), 0 if isinstance(bits, bool) else bits


def _words(packed: tuple[object, object] | None) -> str:
    if packed is None:
        return "16 bits"
    kind, bits = packed
    names = {"float": "floats", "int": "integers"}
    return f"{shown(bits)}-bit {names.get(kind, shown(kind)) if isinstance(kind, str) else shown(kind)}"


def _quark(found: Table, method: str) -> Precision:
    """AMD's: one type for weights and one for inputs, which single layers may have otherwise."""
    whole = found.get("global_quant_config")
    whole = whole if isinstance(whole, dict) else {}
    weights, inputs = _dtype(whole.get("weight")), _dtype(whole.get("input_tensors"))
    if not weights.startswith("fp8") or not inputs.startswith("fp8"):
        raise _refused(f"weights of {weights}, inputs of {inputs}, by {method}")
    return "fp8"


def _dtype(found: object) -> str:
    dtype = found.get("dtype") if isinstance(found, dict) else None
    return dtype if isinstance(dtype, str) else "16 bits" if found is None else shown(found)


def _torchao(found: Table, method: str) -> Precision:
    """PyTorch's: the name of a configuration of its own."""
    types = found.get("quant_type")
    default = types.get("default") if isinstance(types, dict) else None
    kind = default.get("_type") if isinstance(default, dict) else types
    known: Mapping[str, Precision] = {
        "Float8DynamicActivationFloat8WeightConfig": "fp8",
        "Int4WeightOnlyConfig": "int4",
    }
    if not isinstance(kind, str) or kind not in known:
        raise _refused(f"weights of {shown(kind)} by {method}")
    return known[kind]


_READERS: Mapping[str, Callable[[Table, str], Precision]] = {
    **dict.fromkeys(("fp8", "fbgemm_fp8", "ptpc_fp8"), _fp8),
    **dict.fromkeys(("awq", "awq_marlin", "auto_awq"), _integers),
    **dict.fromkeys(("gptq", "gptq_marlin", "auto_gptq", "auto-round", "inc"), _integers),
    **dict.fromkeys(("modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed"), _modelopt),
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed_tensors,
    "quark": _quark,
    "torchao": _torchao,
}
"""Of vLLM's others (mxfp4, gguf, experts_int8, moe_wna16, fp_quant, aqlm, hqq …) none has either kind of weights."""
