"""What the measurements say of an engine step: the batch, and how long a step with it takes.

Every table becomes rows of `COLUMNS`, per average step: requests that decode, prompt tokens, tokens of both beyond the
largest CUDA graph, 1 with LoRA and 0 without, distinct adapters in the batch, adapter slots and their rank, what LoRA's
kernels have to do (`twin.lora_kernels`), tokens of context in the KV cache that the step reads, and its duration in ms
with scheduling and loading taken off.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from calibrate.fit.serving import Steps, distinct
from calibrate.fit.tables import Tables
from twin import lora_kernels
from twin.profile import Loading, Scheduling

COLUMNS = [
    *["decoding", "prefill_tokens", "eager_tokens", "lora", "adapters", "max_loras", "max_lora_rank"],
    *["split_tokens", "shrink_tiles", "expand_tiles", "adapter_shrink_work", "adapter_expand_tiles"],
    *["context_tokens", "step"],
]

GRAPH_TOKENS = 512
"""Batched tokens of the largest CUDA graph that vLLM captures by default."""
BUDGET_TOKENS = 2048
"""Prompt tokens of a step when nothing but prompts wait."""
BUSY_BATCH = 8.0
"""From this mean batch on an engine under Poisson traffic is never idle, so that duration / steps is a step."""


def batches(
    tables: Tables,
    serving: Steps | None,
    scheduling: Scheduling,
    loading: Loading,
    *,
    graph_tokens: int = GRAPH_TOKENS,
    budget_tokens: int = BUDGET_TOKENS,
) -> dict[str, pd.DataFrame]:
    """The rows by kind of measurement.

    `graph_tokens` are those of the largest CUDA graph, 0 where there are none; `budget_tokens` those of a step.
    """
    kinds = {
        "decode_latency": _full_batch(tables.decode.assign(max_loras=0, max_lora_rank=0, adapters=0), scheduling),
        "prompts": _prompts(tables.prefill, scheduling, budget_tokens),
        "adapter_overhead": _full_batch(tables.overhead, scheduling),
        "kv_capacity": _alone(tables.capacity, scheduling),
    }
    if serving is not None:
        kinds["scheduler_steps"] = _serving(serving, loading)
    return {kind: rows.assign(**_work(rows, graph_tokens)) for kind, rows in kinds.items()}


def _work(rows: pd.DataFrame, graph_tokens: int) -> dict[str, pd.Series]:
    """What goes in stairs with the batched tokens, mean over the steps.

    Where prompts are of so many tokens ("prompt"), they come whole: some steps have one, the others only decode.
    """
    decoding, prefill = rows["decoding"], rows["prefill_tokens"]
    prompt = prefill.clip(lower=rows["prompt"]) if "prompt" in rows else prefill
    share = (prefill / prompt.where(prompt > 0, 1.0)).where(prompt > 0, 1.0)

    def mean(of_tokens: Callable[[pd.Series], pd.Series]) -> pd.Series:
        return (1 - share) * of_tokens(decoding) + share * of_tokens(decoding + prompt)

    expand_tiles = mean(lora_kernels.expand_tiles)
    return {
        "eager_tokens": mean(lambda tokens: (tokens - graph_tokens).clip(lower=0.0)),
        "split_tokens": mean(lambda tokens: tokens * lora_kernels.is_split(tokens)),
        "shrink_tiles": mean(lora_kernels.shrink_tiles),
        "expand_tiles": expand_tiles,
        "adapter_shrink_work": rows["adapters"] * mean(lora_kernels.shrink_work),
        "adapter_expand_tiles": rows["adapters"] * expand_tiles,
    }


def _full_batch(table: pd.DataFrame, scheduling: Scheduling) -> pd.DataFrame:
    """A server kept full by requests of one length for adapters drawn at random."""
    decoding = table["batch"].astype(float)
    prompt = table["input_tokens"] / table["completed"]
    # The client counts the tokens of the text it gets, which may be more than the engine made.
    counted = table["output_tokens"] / table["completed"]
    step = table["tpot_mean_ms"] * (counted - 1) / (table["answer"] - 1)
    return pd.DataFrame(
        {
            "decoding": decoding,
            "prefill_tokens": decoding * prompt / table["answer"],
            "lora": np.sign(table["max_loras"]),
            "adapters": distinct(decoding, table["adapters"]),
            "max_loras": table["max_loras"],
            "max_lora_rank": table["max_lora_rank"],
            "context_tokens": decoding * (prompt + table["answer"] / 2),
            "step": step
            - scheduling.base_ms
            - scheduling.per_request_ms * decoding
            - scheduling.per_arrival_ms * decoding / table["answer"],
        }
    )


def _prompts(table: pd.DataFrame, scheduling: Scheduling, budget_tokens: int) -> pd.DataFrame:
    """Steps full of prompt tokens: what longer prompts add to the duration of otherwise equal runs."""
    steps = []
    for _, runs in table.sort_values("input_tokens").groupby("batch"):
        ms_per_token = 1e3 * runs["duration_s"].diff() / runs["input_tokens"].diff()
        steps += list(budget_tokens * ms_per_token.dropna() - scheduling.base_ms)
    rows = pd.DataFrame({"step": steps}, columns=COLUMNS).assign(prefill_tokens=float(budget_tokens))
    return rows[rows["step"] > 0].fillna(0.0)


def _alone(table: pd.DataFrame, scheduling: Scheduling) -> pd.DataFrame:
    """One short request alone on a server with slots."""
    rows = table[table["itl_mean_ms"] > 0]
    one = pd.Series(1.0, rows.index)
    return pd.DataFrame(
        {
            "decoding": one,
            "prefill_tokens": 0.0,
            "lora": one,
            "adapters": one,
            "max_loras": rows["max_loras"],
            "max_lora_rank": rows["max_lora_rank"],
            "context_tokens": 0.0,
            "step": rows["itl_mean_ms"] - scheduling.base_ms - scheduling.per_request_ms,
        }
    )


def _serving(steps: Steps, loading: Loading) -> pd.DataFrame:
    """Average steps of the even runs under Poisson traffic.

    Every adapter is read from disk once, which the timed loads leave out.
    """
    known = steps.take((steps.batch > BUSY_BATCH) & ~steps.uneven)
    disk_ms = known.disk_loads * (loading.disk_base_ms + loading.disk_per_rank_ms * known.rank)
    return pd.DataFrame(
        {
            "decoding": known.decoding,
            "prefill_tokens": known.prefill_tokens,
            "prompt": known.prompt,
            "lora": 1.0,
            "adapters": known.adapters,
            "max_loras": known.max_loras,
            "max_lora_rank": known.rank,
            "context_tokens": known.decoding * known.context,
            "step": known.wall - known.scheduling - known.loading - disk_ms,
        }
    )
