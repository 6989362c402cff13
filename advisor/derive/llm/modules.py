"""Modules of a layer that an adapter may be on, as PEFT and vLLM call them, and what adapters on them weigh.

An adapter comes as PEFT made it, with two factors for each module of the model as transformers has it, and so vLLM
keeps it in host memory. Of most models q_proj, k_proj and v_proj are modules of their own, of which vLLM's slots hold a
first factor each, though it multiplies them at once; of those in `FUSED` they are one module, with one first factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from advisor.names import listed
from advisor.nearest import nearest

WEIGHT_BYTES = 2
"""Of an adapter's weight: vLLM takes adapters in the model's own type, of 16 bits."""
_QKV, _GATE_UP = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")
FUSED: Mapping[str, Mapping[str, str]] = {
    "phi3": {**dict.fromkeys(_QKV, "qkv_proj"), **dict.fromkeys(_GATE_UP, "gate_up_proj")},
    "baichuan": dict.fromkeys(_QKV, "W_pack"),
    "internlm2": {
        **dict.fromkeys(_QKV, "wqkv"),
        **{"o_proj": "wo", "gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"},
    },
    "exaone": {"o_proj": "out_proj", "gate_proj": "c_fc_0", "up_proj": "c_fc_1", "down_proj": "c_proj"},
}
"""Of model types that call modules otherwise than Llama does, or have several in one, what those are: as their files in
`vllm/model_executor/models` have them (`packed_modules_mapping`, 0.8.5 and 0.32)."""
TOGETHER: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("qkv_proj", "W_pack", "wqkv", "query_key_value"), _QKV),
    **dict.fromkeys(("gate_up_proj",), _GATE_UP),
}
"""Names of several modules in one, which stand for each of them where a model has them apart: vLLM calls them so."""
EMBEDDINGS = {"embed_tokens", "wte", "tok_embeddings", "lm_head", "output"}
"""What models call their embeddings, of the input and of the output; they are there once, not in every layer."""


class Linear(NamedTuple):
    """A matrix that a token is multiplied with, and that an adapter may add to."""

    name: str
    inputs: int
    outputs: int
    row_parallel: bool
    """Split by its inputs under tensor parallelism, not by its outputs."""
    of_kv_heads: int = 0
    """Of the outputs, those of KV heads, of which every GPU has one at least."""


class Shape(Protocol):
    """What of a model's shape tells what adapters weigh."""

    @property
    def kind(self) -> str: ...
    @property
    def layers(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def vocabulary(self) -> int: ...
    @property
    def experts(self) -> int: ...
    @property
    def linears(self) -> tuple[Linear, ...]: ...


def of_kind(linears: Iterable[Linear], kind: str) -> tuple[Linear, ...]:
    """Llama's modules as a model of this type has them: under its names, and in one where it has them so."""
    names, found = FUSED.get(kind, {}), dict[str, Linear]()
    for each in linears:
        name = names.get(each.name, each.name)
        before = found.get(name, each._replace(outputs=0, of_kv_heads=0))
        outputs, of_kv_heads = before.outputs + each.outputs, before.of_kv_heads + each.of_kv_heads
        found[name] = each._replace(name=name, outputs=outputs, of_kv_heads=of_kv_heads)
    return tuple(found.values())


def adapter_bytes(shape: Shape, touched: frozenset[str] | None) -> float:
    """What an adapter on these modules (None: on all of attention and of a dense MLP) weighs per unit of rank, bytes.

    Of modules of which none is known, as much as of all.
    """
    known, embeddings = _known(shape, touched or frozenset()), len((touched or set()) & EMBEDDINGS)
    layers = [each for each in shape.linears if each.name in known]
    if not layers and not embeddings:
        layers = list(shape.linears)
    sides = shape.layers * sum(each.inputs + each.outputs for each in layers)
    return float(WEIGHT_BYTES * (sides + embeddings * (shape.vocabulary + shape.hidden)))


def notes(touched: Iterable[frozenset[str]], shape: Shape | None, model: str) -> Iterator[str]:
    """What is to be told of the modules that adapters touch: those that the model has not, or only as part of one."""
    if shape is None:
        return
    names, own = sorted(set[str]().union(*set(touched))), [each.name for each in shape.linears]
    parts = [name for name in names if name in FUSED.get(shape.kind, {}) and name not in own]
    for whole in dict.fromkeys(FUSED[shape.kind][part] for part in parts):
        of_it = [part for part in parts if FUSED[shape.kind][part] == whole]
        yield (
            f"target_modules: {model} has {whole} in the place of {listed(of_it)}, and vLLM loads no adapter that is "
            f"on anything else; counted as {whole}"
        )
    unknown = [name for name in names if name not in EMBEDDINGS and not _known(shape, frozenset((name,)))]
    if unknown:
        near = list(dict.fromkeys(filter(None, (nearest(name, own) for name in unknown))))
        hint = f" (did you mean {listed(near)}?)" if near else ""
        outside = " outside of its experts" if shape.experts else ""
        yield (
            f"target_modules: {model} has no {listed(unknown)}{outside}{hint}, left out of what adapters weigh in "
            f"host memory; its modules are {', '.join(own)}"
        )


def _known(shape: Shape, touched: frozenset[str]) -> set[str]:
    """Of a model's own modules, those that are meant."""
    own, whole = {each.name for each in shape.linears}, FUSED.get(shape.kind, {})
    return own & {each for name in touched for each in (name, whole.get(name, name), *TOGETHER.get(name, ()))}
