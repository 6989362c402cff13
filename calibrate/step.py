"""Duration of an engine step, from several kinds of measurements at once.

Each kind alone leaves terms undetermined (in serving, prompts and answers come in one proportion), so all are fitted
together: full batches without LoRA, full batches of 1 … 400 adapters with short and long prompts, one request alone
on servers of 8 … 384 slots, prompts alone, and serving. A kind weighs as the square root of its rows.
"""

from __future__ import annotations

import pandas as pd

from calibrate.errors import CalibrationError
from calibrate.regression import regress, significant
from twin.accuracy import mape
from twin.profile import Fit, Step

CONTEXT_TOKENS = 400.0
"""Mean context of a running request in serving (ShareGPT's lengths): what reading it costs is in `per_request_ms`."""
LORA_TOKENS = ("lora_per_token", "per_request_slot", "per_prefill_token_slot")
"""What LoRA costs per batched token."""
LIKE = "like"
"""The term that stands for those three where a reference profile gives their shape."""


def fit_step(kinds: dict[str, pd.DataFrame], like: Step | None, source: str) -> tuple[Step, Fit]:
    """Fit `twin.profile.Step` to the rows of `calibrate.batches`.

    Without serving runs what LoRA costs per token is not in the data apart from what it costs per step; its shape over
    decoding requests, prompt tokens and slots is then taken from `like`, and one scale for it is fitted.
    """
    for kind, rows in kinds.items():
        if rows.empty:
            raise CalibrationError(f"no usable rows of kind {kind} to fit the step model")
    data = pd.concat(kinds, names=["kind"]).reset_index(level="kind")
    lora_tokens = {
        "lora_per_token": data["lora"] * (data["decoding"] + data["prefill_tokens"]),
        "per_request_slot": data["decoding"] * data["max_loras"],
        "per_prefill_token_slot": data["prefill_tokens"] * data["max_loras"],
    }
    if like is not None:
        lora_tokens = {LIKE: sum(getattr(like, f"{name}_ms") * lora_tokens[name] for name in LORA_TOKENS)}
    model = regress(
        {
            "base": 1.0,
            "per_request": data["decoding"],
            "per_prefill_token": data["prefill_tokens"],
            "per_context_token": data["context_tokens"],
            "lora_base": data["lora"],
            "per_adapter": data["adapters"],
            "per_slot": data["max_loras"],
            **lora_tokens,
        },
        data["step"],
        weights=data.groupby("kind")["step"].transform("size") ** -0.25,
    )
    found = dict(model.coefficients)
    per_context_token = found.pop("per_context_token")
    found["per_request"] = significant(found["per_request"] + CONTEXT_TOKENS * per_context_token)
    notes = [f"per_request_ms holds {CONTEXT_TOKENS:.0f} tokens of context at {per_context_token:.3g} ms"]
    if like is not None:
        scale = found.pop(LIKE)
        found |= {name: significant(scale * getattr(like, f"{name}_ms")) for name in LORA_TOKENS}
        notes.append(f"what LoRA costs per token is {scale:.3g} times that of the reference profile")
    residuals = {
        kind: mape(model.measured[data["kind"] == kind], model.predicted[data["kind"] == kind]) for kind in kinds
    }
    notes.append("MAPE by kind: " + ", ".join(f"{kind} {value:.1f} %" for kind, value in residuals.items()))
    step = Step(**{f"{name}_ms": value for name, value in found.items()})
    variables = {name: data[name] for name in ("decoding", "prefill_tokens", "adapters", "max_loras")}
    return step, model.fit(source, "; ".join(notes), **variables)
