"""A model's shape, a GPU's figures and one measured Profile -> the Profile of a pair that nobody measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from advisor.derive import lora
from advisor.derive.engine import CURRENT, WIDE, Generation, is_current
from advisor.derive.gpus import fp8
from advisor.derive.gpus.gpu import WEIGHT_BYTES, Gpu, Precision, catalogue
from advisor.derive.llm import model_shape
from advisor.derive.llm.model_shape import ModelShape
from advisor.derive.llm.packing import packed
from advisor.derive.memory import GIB, MemoryModel
from advisor.derive.network import crossing
from advisor.derive.network import note as over_network
from advisor.derive.operators import Operators
from advisor.derive.shards import MAX_GPUS, counts, obstacle
from advisor.derive.step import GRAPH_TOKENS, HOST_LEAST_MS, HOST_MS, KNEES, StepModel
from advisor.errors import InputError
from advisor.names import either
from twin.behaviour import behaviour_of
from twin.profile import LORA_TERMS, Derivation, FrontEnd, Loading, Pair, Profile, Scheduling, Serving, Step

HOST_OFF = 0.25
"""How far off the host's share of a step may be, relative: machines differ."""
HOST_SOURCE = "host: vLLM 0.15 on H100s (an H200 under 0.24 takes 1.6 ms less)"
LIKE_OFF = 0.08
"""How much further off a GPU is whose efficiencies were measured on another of its kind."""
OPERATORS_OFF = 0.05
"""How far off a model's products are in sum, relative, where the GPU's were measured."""
LOADING_OFF = (0.5, 2.0)
"""How many times as long adapters may take to load: buses, disks and hosts differ more than GPUs do."""
LEAST_KV_TOKENS = 1024
"""Tokens of a KV cache below which nobody would call it one: a request or two."""
ROOMY_KV_TOKENS = 16 * 1024
"""Tokens of a KV cache that is worth recommending."""
MEASURED_ON = "h100-64gb"
"""The catalogue's name of the GPU that the measured Profile is of."""
CURRENT_FRONT_END = FrontEnd(ttft_ms=7.0, merged_per_adapter=0.0, merge_requests=0)
"""The API server adds to a first token what was measured on both pairs; what merged tokens was 0.8's metrics."""
SERVING: Mapping[Generation, Serving] = {
    "0.8.5": Serving(max_num_seqs=2048, max_num_batched_tokens=2048),
    "current": Serving(max_num_seqs=1024, max_num_batched_tokens=8192),
}
"""Settings; of current versions vLLM's own defaults on GPUs of 70 GiB and more. From 0.28 on steps have up to 16,384
tokens on GPUs of 160 GiB and more, of which the shipped models know nothing."""
LARGE_GIB, LARGE_SINCE, LARGE_TOKENS = 160.0, (0, 28), 16_384
"""On such GPUs, from such a version on, vLLM's own steps have up to so many tokens (vllm-project/vllm #51726)."""
SMALL = Serving(max_num_seqs=256, max_num_batched_tokens=2048)
"""vLLM's defaults on smaller GPUs, and on every A100."""
SMALL_GIB, SLOWER = 70.0, "a100"
UTILIZATION: Mapping[Generation, float] = {"0.8.5": 0.9, "current": 0.92}
"""vLLM's own defaults of gpu_memory_utilization."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be derived."""

    model: str
    """Hugging Face id, or a name of the user's own."""
    shape: ModelShape
    gpu_name: str
    gpu: Gpu
    tensor_parallel: int = 1
    precision: Precision = "bf16"
    packed: bool = False
    """Whether the checkpoint holds its weights so, by its name or its configuration."""
    kv_bytes: float = 2.0
    vllm: str = CURRENT
    """The version that is to serve it."""
    context: float = 400.0
    """Tokens that a request holds on average while it is answered."""

    @property
    def generation(self) -> Generation:
        """Of its vLLM.

        Raises:
            InputError: no version, or one that the twin does not know.
        """
        return "current" if is_current(self.vllm) else "0.8.5"

    @property
    def name(self) -> str:
        """Short name of the pair."""
        model = self.model.rstrip("/").rpartition("/")[2].lower()
        told = self.precision == "bf16" or packed(self.model) is not None
        bits = "" if told else f"-{self.precision}"
        several = f"-x{self.tensor_parallel}" if self.tensor_parallel > 1 else ""
        return f"{model}{bits}--{self.gpu_name}{several}"


def derive(subject: Subject, measured: Profile, measured_shape: ModelShape, *, command: str) -> Profile:
    """The Profile of `subject`.

    Args:
        subject: model, GPU and how they are used.
        measured: the Profile that LoRA's costs are taken from, of one GPU and vLLM 0.8.5.
        measured_shape: the shape of its model.
        command: what made it, for its provenance.

    Raises:
        InputError: the model does not fit into the memory, or adapters on it are not understood.
    """
    _check(subject)
    current = subject.generation == "current"
    memory_model = _memory(subject)
    serving = _serving(subject)
    memory = memory_model.memory(UTILIZATION[subject.generation], max_num_seqs=serving.max_num_seqs)
    if memory.kv_tokens_base < LEAST_KV_TOKENS:
        several = f"each of {subject.tensor_parallel} " if subject.tensor_parallel > 1 else ""
        raise InputError(
            f"{subject.model}: {memory_model.weight_bytes / 2**30:.1f} GiB of weights do not fit into {several}"
            f"{subject.gpu.memory_gib:g} GiB of {subject.gpu_name} with room for a KV cache; {_would_fit(subject)}"
        )
    step, intervals = _step(subject, measured, measured_shape)
    off = memory_model.off
    intervals["memory.kv_tokens_base"] = (memory.kv_tokens_base * (1 - off), memory.kv_tokens_base * (1 + off))
    loading = _loading(measured.loading, memory_model.slot_rank_bytes() / _slot_rank_bytes(measured_shape))
    least, most = LOADING_OFF
    for name, value in loading.model_dump().items():
        intervals[f"loading.{name}"] = (value * least, value * most)
    return Profile(
        pair=Pair(
            name=subject.name,
            model=subject.model,
            gpu=subject.gpu_name,
            vllm=subject.vllm,
        ),
        memory=memory,
        step=step,
        scheduling=Scheduling(**measured.scheduling.model_dump()),
        loading=loading,
        front_end=CURRENT_FRONT_END if current else measured.front_end,
        serving=serving,
        behaviour=behaviour_of(subject.vllm if current else "0.8.5"),
        fits={},
        derivation=Derivation(
            gpus=subject.tensor_parallel,
            weights=subject.precision,
            packed=subject.packed,
            kv_cache="bf16" if subject.kv_bytes == WIDE else "fp8",
            parameters=subject.shape.parameters,
            windowed_layers=subject.shape.sliding_layers,
            intervals={place: _rounded(interval) for place, interval in intervals.items()},
            sources=_sources(subject, measured),
            notes=_notes(subject),
        ),
        command=command,
    )


def _check(subject: Subject) -> None:
    if subject.shape.experts:
        raise InputError(
            f"{subject.model} has experts: what LoRA costs on them changes with every version of vLLM, and is not "
            "derived; python -m calibrate run measures it on your GPU"
        )
    if left := obstacle(subject.shape, subject.tensor_parallel):
        fine = either([str(count) for count in counts(subject.shape, MAX_GPUS)])
        raise InputError(f"{subject.model}: {left}: vLLM does not start; tensor_parallel may be {fine}")
    own = subject.gpu_name not in catalogue().gpus
    if subject.precision == "fp8" and (refused := fp8.refusal(subject.gpu_name, subject.gpu, own=own)):
        raise InputError(refused)


def _would_fit(subject: Subject) -> str:
    """The fewest GPUs on which it fits, with the bits that it has and with fewer where these take fewer GPUs."""
    found, possible = [], [gpus for gpus in (1, 2, 4, 8) if obstacle(subject.shape, gpus) is None]
    within = possible
    for precision in WEIGHT_BYTES:
        if WEIGHT_BYTES[precision] > WEIGHT_BYTES[subject.precision]:
            continue
        if precision == "fp8" and not subject.gpu.fp8_tflops:
            continue
        bits = {"fp8": 'quantization = "fp8"', "int4": "a checkpoint in 4 bits (AWQ, GPTQ)"}.get(precision, "")
        bits = bits if precision != subject.precision else ""
        for gpus in within:
            other = replace(subject, precision=precision, tensor_parallel=gpus)
            memory = _memory(other).memory(UTILIZATION[other.generation], max_num_seqs=_serving(other).max_num_seqs)
            if memory.kv_tokens_base >= ROOMY_KV_TOKENS:
                several = f"tensor_parallel = {gpus}" if gpus > 1 else ""
                found.append(" with ".join(filter(None, [bits, several])))
                within = [fewer for fewer in within if fewer < gpus]
                break
    if any(found):
        return f"would fit: {', or '.join(filter(None, found))}"
    most = possible[-1]
    return f"neither fewer bits nor {most} of them would do" if most > 1 else "fewer bits would not do either"


def _memory(subject: Subject) -> MemoryModel:
    current = subject.generation == "current"
    return MemoryModel(
        subject.shape, subject.gpu, subject.precision, subject.kv_bytes, subject.tensor_parallel, old=not current
    )


def _serving(subject: Subject) -> Serving:
    small = subject.gpu.memory_gib < SMALL_GIB or SLOWER in subject.gpu_name.casefold()
    if subject.generation == "current" and small:
        return SMALL
    return SERVING[subject.generation]


def step_model(shape: ModelShape, gpu: Gpu, subject: Subject | None = None) -> StepModel:
    """The steps of a model on a GPU without LoRA."""
    operators = Operators(gpu, catalogue().efficiencies[gpu.kind])
    if subject is None:
        return StepModel(shape, operators)
    return StepModel(shape, operators, subject.precision, subject.kv_bytes, subject.tensor_parallel)


def _step(
    subject: Subject, measured: Profile, measured_shape: ModelShape
) -> tuple[Step, dict[str, tuple[float, float]]]:
    """A step with LoRA, and how far its terms may be off."""
    knees = KNEES if subject.generation == "current" else (GRAPH_TOKENS,)  # that the measured step was fitted with
    own = step_model(subject.shape, subject.gpu, subject).step(subject.context, knees)
    efficiency = catalogue().efficiencies[subject.gpu.kind]
    off = OPERATORS_OFF + efficiency.uncertainty + (LIKE_OFF if subject.gpu.like else 0.0)
    terms, intervals = own.model_dump(), dict[str, tuple[float, float]]()
    host = HOST_OFF * HOST_MS
    of_lora, of_lora_intervals = _of_lora(subject, measured, measured_shape)
    if subject.generation == "current":
        (least, most), least_host = of_lora_intervals["lora_base_ms"], HOST_MS - HOST_LEAST_MS
        terms["base_ms"] = own.base_ms + of_lora["lora_base_ms"]
        low, high = own.base_ms * (1 - off) - least_host, own.base_ms * (1 + off) + host
        intervals["step.base_ms"] = (low + least, high + most)
    else:
        # What 0.8.5 takes beyond the operators, and for each request, is its host's, whatever the layers: of two
        # measured models, with 32 and 28 of them, 1.05 and 1.10 ms a step, and 46 and 45 us a request.
        there = step_model(measured_shape, _measured_gpu()).step(subject.context, knees)
        here = step_model(measured_shape, subject.gpu).step(subject.context, knees)
        arithmetic = subject.shape.body_parameters / measured_shape.body_parameters / subject.tensor_parallel
        eager = measured.step.per_eager_token_ms * here.per_eager_token_ms / there.per_eager_token_ms
        terms |= {
            "base_ms": own.base_ms + measured.step.base_ms - there.base_ms,
            "per_request_ms": measured.step.per_request_ms * here.per_request_ms / there.per_request_ms,
            "per_eager_token_ms": arithmetic * eager,
        }
        intervals["step.base_ms"] = (terms["base_ms"] * (1 - off) - host, terms["base_ms"] * (1 + off) + host)
    for name in ("per_request_ms", "per_eager_token_ms"):
        intervals[f"step.{name}"] = (terms[name] * (1 - 2 * off), terms[name] * (1 + 2 * off))
    if across := crossing(subject.shape, subject.tensor_parallel):
        of_tokens = (across.per_token_ms, across.most_per_token_ms)
        for name, (middle, most) in {
            "base_ms": (across.base_ms, across.most_base_ms),
            "per_request_ms": of_tokens,
            "per_eager_token_ms": of_tokens,
        }.items():
            low, high = intervals[f"step.{name}"]
            terms[name], intervals[f"step.{name}"] = terms[name] + middle, (low, high + most)
    terms |= of_lora
    intervals |= {f"step.{name}": interval for name, interval in of_lora_intervals.items()}
    return Step.model_validate({name: float(f"{value:.6g}") for name, value in terms.items()}), intervals


def _of_lora(
    subject: Subject, measured: Profile, measured_shape: ModelShape
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """LoRA's terms of a step, and how far they may be off."""
    if subject.generation == "current":
        there, gpu_there, alone = model_shape.find(lora.CURRENT_MODEL), lora.CURRENT_ON, lora.ALONE_OFF
        known = lora.CURRENT_MS
    else:
        there, gpu_there, alone = measured_shape, MEASURED_ON, 0.0
        known = {name: (getattr(measured.step, name),) * 3 for name in LORA_TERMS}
    clocks = lora.clock_ratio(catalogue().gpus[gpu_there], subject.gpu)
    elsewhere = lora.uncertainty(
        same_model=subject.shape == there, same_gpu=subject.gpu_name == gpu_there, gpu=subject.gpu
    )
    off = math.hypot(elsewhere, alone)
    times = lora.scaled(there, subject.shape, subject.tensor_parallel, clocks, subject.generation)
    middle = {name: times[name] * values[0] for name, values in known.items()}
    ends = {
        name: (times[name] * low * (1 - off), times[name] * high * (1 + off)) for name, (_, low, high) in known.items()
    }
    return middle, ends


def _measured_gpu() -> Gpu:
    return catalogue().gpus[MEASURED_ON]


def _slot_rank_bytes(shape: ModelShape) -> float:
    return MemoryModel(shape, _measured_gpu()).slot_rank_bytes()


def _loading(measured: Loading, ratio: float) -> Loading:
    """Loading by bytes: so many times those of the measured model."""
    return Loading(**{name: float(f"{value * ratio:.6g}") for name, value in measured.model_dump().items()})


def _sources(subject: Subject, measured: Profile) -> dict[str, str]:
    source = f"{measured.pair.name}, measured under vLLM {measured.pair.vllm}"
    if subject.generation == "current":
        source = "LoRA's kernels of vLLM 0.24 alone, on an H200"
    return {
        "memory": "shapes" + ("; activations: llm-d-planner" if subject.generation == "current" else " and both pairs"),
        "step.base_ms": f"{catalogue().efficiencies[subject.gpu.kind].source}; {HOST_SOURCE}",
        "step.lora": f"{source}, by layers and outputs, and the GPU's clock",
        "loading": f"{measured.pair.name}, times an adapter's bytes",
    }


def _notes(subject: Subject) -> list[str]:
    shape = subject.shape
    notes = [*filter(None, [over_network(shape, subject.tensor_parallel)])]
    if subject.gpu_name != MEASURED_ON and not subject.gpu.clock_ghz:
        notes.append(f"LoRA's kernels were never measured on a {subject.gpu_name}, and its clock is not known")
    if subject.precision == "fp8":
        notes += [*fp8.of_weights(subject.gpu_name, subject.gpu), *_while_loading(subject)]
    if subject.kv_bytes == 1.0:
        notes += fp8.of_cache(subject.gpu_name, subject.gpu)
    if shape.sliding_layers:
        notes.append(
            f"{shape.sliding_layers} of {shape.layers} layers look back over a window of {shape.window:,} tokens only, "
            "which is not counted: the KV cache holds more"
        )
    if subject.gpu.memory_gib >= LARGE_GIB and is_current(subject.vllm, LARGE_SINCE):
        notes.append(
            f"vLLM's own max_num_batched_tokens on a {subject.gpu_name} is {LARGE_TOKENS:,} from "
            f"{'.'.join(map(str, LARGE_SINCE))} on; {_serving(subject).max_num_batched_tokens:,} is what the figures "
            "are of, for the models know no larger steps"
        )
    return notes


def _while_loading(subject: Subject) -> Iterator[str]:
    """Of weights that vLLM packs itself, whether they fit before they are packed."""
    if packed(subject.model) is not None or is_current(subject.vllm, fp8.STREAMED_SINCE):
        return
    gib = _memory(replace(subject, precision="bf16")).weight_bytes / GIB
    if gib > subject.gpu.memory_gib:
        since = ".".join(map(str, fp8.STREAMED_SINCE))
        yield (
            f"before {since} vLLM packs weights into fp8 when all are on the GPU in 16 bits, {gib:.1f} GiB of "
            f"{subject.gpu.memory_gib:g}: the checkpoint has to be packed already"
        )


def _rounded(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = (float(f"{max(end, 0.0):.6g}") for end in interval)
    return low, high
