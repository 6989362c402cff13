"""What the JSON Schemas of answers have in common: the types of values, and what answers of several kinds have."""

from __future__ import annotations

from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]
NUMBER, INTEGER, TEXT, TRUTH = {"type": "number"}, {"type": "integer"}, {"type": "string"}, {"type": "boolean"}
FLAG = {"type": ["integer", "number", "string"]}
RANGE = {
    **{"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2},
    "description": "lowest and highest likely, of a derived pair",
}
TEXTS = {"type": "array", "items": TEXT}
PERCENTILES = ("p50", "p95", "p99")


def schema(of: str, version: int, title: str, **what: Any) -> Schema:
    """A schema by what it is of; the version is raised when a key goes, or means something else."""
    return {"$schema": DIALECT, "$id": f"advisor-{of}-{version}", "title": title, **what}


def table(required: str, **properties: Any) -> Schema:
    """A table with these keys, of which some, told in one text, are never left out."""
    return {"type": "object", "properties": properties, "required": required.split()}


def rows(of: Schema, description: str) -> Schema:
    """A list of tables."""
    return {"type": "array", "items": of, "description": description}


PAIR = TEXT | {"description": "short name of what answers, '<model>--<gpu>'"}
GPU_TYPE = TEXT | {"description": "short name of the GPU type"}
FLAGS = {
    "type": "object",
    "description": "of its launch, by vLLM's names",
    "properties": {
        "max_loras": INTEGER | {"description": "adapter slots: adapters that are on the GPU at once, at most"},
        "max_cpu_loras": INTEGER | {"description": "adapters that host memory holds"},
        "max_lora_rank": INTEGER | {"description": "rank that every slot is as large as"},
        "max_num_seqs": INTEGER | {"description": "requests that run at once, at most"},
        "max_num_batched_tokens": INTEGER | {"description": "tokens of a step, at most"},
        "gpu_memory_utilization": NUMBER | {"description": "share of the GPU's memory that vLLM takes"},
        "max_model_len": INTEGER
        | {"description": "tokens of a request with its answer, at most; left out where that is the model's own"},
        "tensor_parallel_size": INTEGER | {"description": "GPUs that one server spans; left out where it is one"},
        "quantization": TEXT | {"description": "what the weights are packed into, where they are"},
        "kv_cache_dtype": TEXT | {"description": "what the KV cache holds, where it is not the model's own type"},
    },
    "additionalProperties": FLAG,
}
ARGS = TEXTS | {"description": "of vllm serve"}
FIGURES = {
    "throughput_tok_s": NUMBER | {"description": "tokens/s, input and output"},
    "itl_ms": NUMBER
    | {"description": "inter-token latency, ms; left out where answers have one token, and so are its percentiles"},
    "ttft_ms": NUMBER | {"description": "time to first token, ms"},
    "steady": TRUTH | {"description": "whether the objective is kept"},
    "starved": TRUTH | {"description": "whether less than nine in ten requests are served while others wait"},
    "kv_capacity_tokens": INTEGER | {"description": "tokens that the KV cache holds"},
}
"""What is expected of a server."""
COUNTED = table(
    "requests rates_range",
    requests=INTEGER | {"description": "that the rates were counted from"},
    rates_range=RANGE | {"description": "times those rates, what may really come, nine times of ten"},
) | {"description": "what the rates rest on, where they were counted"}
HOST_MEMORY = table(
    "adapters gib",
    adapters=INTEGER | {"description": "max_cpu_loras: those that are held at most"},
    gib=NUMBER | {"description": "what these weigh, GiB, of all worker processes together"},
    workers=INTEGER | {"description": "processes that each keep a copy: one for each GPU of the server"},
    limit_gib=NUMBER | {"description": "what there is, GiB, where the inventory says"},
)
"""What a server takes of the memory of its host."""
WARNINGS = TEXTS | {"description": "what of the inventory the answer does not know, or takes for granted"}


def _times(name: str, what: str) -> Schema:
    return {
        f"{name}_ms": NUMBER | {"description": f"{what}, ms, mean"},
        **{f"{name}_{each}_ms": NUMBER | {"description": f"the same, ms, {each.upper()}"} for each in PERCENTILES},
    }


MEASURED = {
    "oom": TRUTH | {"description": "whether the server does not start, for lack of memory"},
    "kv_capacity_tokens": FIGURES["kv_capacity_tokens"],
    "offered_tok_s": NUMBER | {"description": "tokens/s that came, input and output"},
    "throughput_tok_s": NUMBER | {"description": "tokens/s of completed requests, input and output"},
    "starved": FIGURES["starved"],
    "steady": TRUTH | {"description": "whether nobody starves and the TTFT is within its limit"},
    **_times("itl", "time from one token of an answer to the next, as the client sees it"),
    **_times("tpot", "time per token of an answer after the first, of the engine"),
    **_times("ttft", "time to first token"),
    "ttft_penalised_ms": NUMBER | {"description": "the same, ms, with the whole hour for each that did not complete"},
    **_times("e2el", "time from a request to the end of its answer"),
    "arrivals": INTEGER | {"description": "requests that came"},
    "refused": INTEGER | {"description": "of these, those longer than max_model_len"},
    "completed": INTEGER | {"description": "requests that were answered"},
    "running_mean": NUMBER | {"description": "requests that run, on average"},
    "waiting_mean": NUMBER | {"description": "requests that wait, on average"},
    "adapter_loads": INTEGER | {"description": "times that an adapter was brought into a slot"},
    "preemptions": INTEGER | {"description": "times that a request had to make room in the KV cache"},
    "prefix_cache_hit_rate": NUMBER
    | {"description": "share of prompt tokens that the KV cache had; with caching only"},
    "wall_s": NUMBER | {"description": "s that the simulation took"},
    "missed": TEXTS | {"description": "what of the objective it misses, each with its numbers"},
}
"""What the digital twin measures of an hour."""
ALWAYS_MEASURED = (
    "oom kv_capacity_tokens offered_tok_s starved steady arrivals refused completed adapter_loads preemptions wall_s "
    "missed"
)
