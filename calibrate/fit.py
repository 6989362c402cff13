"""From the measurements of one LLM on one GPU type to its Profile."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from calibrate.batches import batches
from calibrate.errors import CalibrationError
from calibrate.front_end import fit_front_end
from calibrate.loading import fit_loading
from calibrate.memory import fit_memory
from calibrate.runs import Run
from calibrate.scheduling import fit_scheduling
from calibrate.served import refine_merging, serve, served_steps
from calibrate.serving import average_steps
from calibrate.step import SERVED_HOURS, fit_step
from calibrate.tables import Tables
from twin.behaviour import Behaviour, behaviour_of
from twin.profile import Pair, Profile, Serving

ROUNDS = 3
"""Of fitting to served hours: what the twin says of them depends on the fit before."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What was measured, as far as the tables do not tell."""

    hub_id: str
    """Hugging Face id of the LLM."""
    gpu: str
    """Short name of the GPU type."""
    vllm: str
    """vLLM version."""
    gpu_memory_gib: float
    kv_bytes_per_token: float
    """2 (keys and values) x layers x KV heads x head size x bytes per number."""
    max_model_len: int
    """Tokens; the model's default."""
    gpu_memory_utilization: float
    serving: Serving
    """Settings and habits of the measured server."""
    input_tokens: float
    """Prompt length in scheduler_steps.csv, tokens."""
    source: str
    """Where the measurements come from."""

    @property
    def pair(self) -> Pair:
        name = f"{self.hub_id.rsplit('/', 1)[-1]}--{self.gpu}".lower()
        return Pair(name=name, model=self.hub_id, gpu=self.gpu.lower(), vllm=self.vllm)


def fit_profile(
    tables: Tables, subject: Subject, command: str, like: Profile | None = None, served: Sequence[Run] = ()
) -> Profile:
    """Fit every section of the profile.

    Args:
        tables: the measurements.
        subject: what was measured.
        command: kept in the profile.
        served: hours of serving that refine the step model and the front end of a first fit without them; what a
            step of theirs did is not measured, so the twin of the fit before tells the adapters and loads.
        like: where scheduling and, for the first fit, the shape of LoRA's cost per token and the merging of tokens come
            from; without it scheduling is fitted from scheduler_steps.csv.

    Raises:
        CalibrationError: the tables do not hold what is needed.
    """
    source = subject.source
    memory, memory_fit = fit_memory(
        tables.capacity,
        gpu_memory_gib=subject.gpu_memory_gib,
        kv_bytes_per_token=subject.kv_bytes_per_token,
        gpu_memory_utilization=subject.gpu_memory_utilization,
        max_model_len=subject.max_model_len,
        source=source,
    )
    loading, loading_fit = fit_loading(tables.loading, source)
    if like is not None:
        steps = None
        scheduling = like.scheduling
        scheduling_fit = like.fits["scheduling"].model_copy(update={"note": f"as in {like.pair.name}"})
    elif tables.serving.empty:
        raise CalibrationError(
            "scheduler_steps.csv: no rows of this model; name a profile to take its part from (--like)"
        )
    else:
        steps = average_steps(tables.serving, subject.input_tokens)
        scheduling, scheduling_fit = fit_scheduling(steps, source)
    kinds = batches(tables, steps, scheduling, loading)
    step, step_fit = fit_step(kinds, like.step if like else None, source)
    front_end, front_end_fit = fit_front_end(tables.capacity, like.front_end if like else None, source)
    profile = Profile(
        pair=subject.pair,
        memory=memory,
        step=step,
        scheduling=scheduling,
        loading=loading,
        front_end=front_end,
        serving=subject.serving,
        behaviour=_behaviour(subject.vllm),
        fits={
            "memory": memory_fit,
            "step": step_fit,
            "scheduling": scheduling_fit,
            "loading": loading_fit,
            "front_end": front_end_fit,
        },
        command=command,
    )
    return refine(profile, kinds, served) if served else profile


def refine(
    profile: Profile,
    kinds: dict[str, pd.DataFrame],
    served: Sequence[Run],
    rounds: int = ROUNDS,
    without: Collection[str] = (),
) -> Profile:
    """Fit the step model and the merging of tokens once more, to `kinds` and hours of serving together.

    `without` names terms to leave out.
    """
    source = profile.fits["step"].source
    for _ in range(rounds):
        hours = serve(served, profile)
        steps = served_steps(hours, profile)
        step, step_fit = fit_step({**kinds, SERVED_HOURS: steps}, None, source, without)
        front_end, front_end_fit = refine_merging(profile, hours)
        fits = profile.fits | {"step": step_fit, "front_end": front_end_fit}
        profile = profile.model_copy(update={"step": step, "front_end": front_end, "fits": fits})
    return profile


def _behaviour(vllm: str) -> Behaviour:
    try:
        return behaviour_of(vllm)
    except ValueError as error:
        raise CalibrationError(str(error)) from error
