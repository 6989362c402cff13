"""Duration of an engine step, from several kinds of measurements at once.

Each kind alone leaves terms undetermined (in serving, prompts and answers come in one proportion), so all are fitted
together: full batches without LoRA, full batches of 1 … 400 adapters with short and long prompts, one request alone
on servers of 8 … 384 slots, prompts alone, and serving. A kind weighs as the square root of its rows; measured hours
of serving, the only ones of real traffic, `SERVED_WEIGHT` times as much.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from calibrate.errors import CalibrationError
from calibrate.fit.batches import GRAPH_TOKENS
from calibrate.fit.regression import regress, significant
from twin.accuracy import mape
from twin.lora_kernels import rank_tiles
from twin.profile import Fit, Step

CONTEXT_TOKENS = 400.0
"""Mean context of a running request in serving (ShareGPT's lengths): what reading it costs is in `per_request_ms`."""
LORA_TOKENS = ("lora_per_token", "per_split_token")
"""What LoRA costs per batched token."""
LORA_BASE = "lora_base"
"""What LoRA costs per step however few adapters, slots and tokens; part of `base`: the twin's servers have LoRA."""
LIKE = "like"
"""The term that stands for those two where a reference profile gives their shape."""
SERVED_HOURS = "served_hours"
"""The kind whose rows are measured hours of serving."""
VARIABLES = ("decoding", "prefill_tokens", "eager_tokens", "adapters", "max_loras", "max_lora_rank")
"""Whose range the profile keeps."""
SERVED_WEIGHT = 6.0
"""Of their residuals."""


@dataclass(frozen=True, slots=True)
class StepFit:
    """What the rows say of a step."""

    step: Step
    fit: Fit


def fit_step(
    kinds: dict[str, pd.DataFrame],
    like: Step | None,
    source: str,
    without: Collection[str] = (),
    *,
    graph_tokens: int = GRAPH_TOKENS,
    context_tokens: float = CONTEXT_TOKENS,
) -> StepFit:
    """Fit `twin.profile.Step` to the rows of `calibrate.fit.batches`.

    Without serving runs what LoRA costs per token is not in the data apart from what it costs per step; its shape over
    small batches and large ones is then taken from `like`, and one scale for it is fitted.

    `without` names terms to leave out: their constants are 0. `graph_tokens` are those that the rows were made with,
    `context_tokens` the mean context whose cost goes into `per_request_ms`.
    """
    for kind, rows in kinds.items():
        if rows.empty:
            raise CalibrationError(f"no usable rows of kind {kind} to fit the step model")
    data = pd.concat(kinds, names=["kind"]).reset_index(level="kind")
    tiles = rank_tiles(data["max_lora_rank"])
    terms = {
        "base": pd.Series(1.0, data.index),
        LORA_BASE: data["lora"],
        "per_request": data["decoding"],
        "per_context_token": data["context_tokens"],
        "per_eager_token": data["eager_tokens"],
        "per_adapter": data["adapters"],
        "per_adapter_shrink": data["adapter_shrink_work"] * tiles,
        "per_adapter_expand": data["adapter_expand_tiles"],
        "per_slot_shrink": data["max_loras"] * data["shrink_tiles"] * tiles,
        "per_slot_expand": data["max_loras"] * data["expand_tiles"],
        "lora_per_token": data["lora"] * (data["decoding"] + data["prefill_tokens"]),
        "per_split_token": data["split_tokens"] * tiles,
    }
    if "per_request" in without:  # what reading the context costs is part of it
        without = {*without, "per_context_token"}
    terms = {name: 0.0 * values if name in without else values for name, values in terms.items()}
    fitted = dict(terms)
    if like is not None:
        fitted[LIKE] = sum(getattr(like, f"{name}_ms") * fitted.pop(name) for name in LORA_TOKENS)
    model = regress(
        fitted,
        data["step"],
        weights=data.groupby("kind")["step"].transform("size") ** -0.25
        * np.where(data["kind"] == SERVED_HOURS, SERVED_WEIGHT, 1.0),
    )
    found = dict(model.coefficients)
    per_context_token = found.pop("per_context_token")
    found["base"] = significant(found["base"] + found[LORA_BASE])
    found["per_request"] = significant(found["per_request"] + context_tokens * per_context_token)
    notes = [f"per_request_ms holds {context_tokens:.0f} tokens of context at {per_context_token:.3g} ms"]
    if like is not None:
        scale = found.pop(LIKE)
        found |= {name: significant(scale * getattr(like, f"{name}_ms")) for name in LORA_TOKENS}
        notes.append(f"what LoRA costs per token is {scale:.3g} times that of the reference profile")
    of = {kind: data["kind"] == kind for kind in kinds}
    residuals = {kind: mape(model.measured[rows], model.predicted[rows]) for kind, rows in of.items()}
    notes.append("MAPE by kind: " + ", ".join(f"{kind} {value:.1f} %" for kind, value in residuals.items()))
    typical = of.get(SERVED_HOURS, slice(None))
    contributions = {
        f"{name}_ms": round(value * float(terms[name][typical].mean()), 3)
        for name, value in found.items()
        if name != LORA_BASE  # it is in the base
    }
    step = Step(graph_tokens=graph_tokens, **{f"{name}_ms": value for name, value in found.items()})
    variables = {name: data[name] for name in VARIABLES}
    fit = model.fit(source, "; ".join(notes), **variables)
    return StepFit(step, fit.model_copy(update={"contributions": contributions}))
