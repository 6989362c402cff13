"""What the weights of a model are packed into, by vLLM's name of the method or by the name of the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from advisor.derive.gpus.gpu import Precision
from advisor.errors import InputError

Quantization = Literal[
    "fp8", "fbgemm_fp8", "ptpc_fp8", "modelopt", "awq", "awq_marlin", "gptq", "gptq_marlin", "bitsandbytes",
    "compressed-tensors",
]  # fmt: skip
"""Of vLLM's methods those whose weights take 8 bits as fp8 or 4 as integers."""
PRECISIONS: Mapping[str, Precision] = {
    **dict.fromkeys(("fp8", "fbgemm_fp8", "ptpc_fp8", "modelopt"), "fp8"),
    **dict.fromkeys(("awq", "awq_marlin", "gptq", "gptq_marlin", "bitsandbytes"), "int4"),
}
"""compressed-tensors may hold either: the name of the checkpoint tells."""
WHILE_LOADING = ("fp8", "bitsandbytes")
"""Methods that vLLM packs 16-bit weights into by itself; of all others a checkpoint has to be packed already."""

_PACKED = re.compile(
    r"""[-_.](?:
        (?P<int4>(?:unsloth[-_])?bnb[-_]4bit|4bit|int4|
            awq(?:[-_](?:int4|4bit|marlin|g?128g?))*|gptq(?:[-_](?:int4|4bit|marlin|g?128g?))*|
            (?:quantized[-_.])?w4a16(?:[-_](?:asym|sym|g128|channel))*)
        |(?P<fp8>(?:quantized[-_.])?(?:fp8|w8a8[-_]fp8)(?:[-_](?:dynamic|static|kv|block|torchao))*)
        |(?P<other>gptq[-_]int8|gptq[-_]8bit|gptq[-_]int3|awq[-_]8bit|(?:bnb[-_])?8bit|int8|
            (?:quantized[-_.])?(?:w8a8|w8a16)|nvfp4|mxfp4|fp4|gguf|mlx|exl2)
    )$""",
    re.IGNORECASE | re.VERBOSE,
)


class Packed(NamedTuple):
    """A checkpoint whose name says that its weights are packed."""

    base: str
    """The name of the model that was packed, without the organisation that did it."""
    precision: Precision


def packed(model: str) -> Packed | None:
    """What the name of a checkpoint says of its weights; None where it says nothing.

    Raises:
        InputError: they are packed in a way whose cost is not derived.
    """
    bare = model.rstrip("/").rpartition("/")[2]
    found = _PACKED.search(bare)
    if found is None:
        return None
    if other := found["other"]:
        raise InputError(
            f"{model}: weights packed as {other} are not derived; bf16, fp8 and 4-bit integers "
            "(AWQ, GPTQ, bitsandbytes) are"
        )
    return Packed(bare[: found.start()], "int4" if found["int4"] else "fp8")


def precision_of(quantization: Quantization | None, of_name: Precision | None, model: str) -> Precision:
    """The bits of the weights, out of vLLM's name of the method and of what the checkpoint's name says.

    Raises:
        InputError: the two disagree, or neither tells.
    """
    if quantization is None:
        return of_name or "bf16"
    named = PRECISIONS.get(quantization, of_name)
    if named is None:
        raise InputError(
            f"quantization {quantization} may hold fp8 or 4-bit integers, and the name of {model} does not tell; "
            'write quantization = "fp8" or "gptq"'
        )
    if of_name not in (None, named):
        raise InputError(f"quantization {quantization} is {named}, but {model} holds {of_name}")
    return named
