"""From the measurements of one LLM on one GPU type to its Profile."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from calibrate.errors import CalibrationError
from calibrate.fit.batches import GRAPH_TOKENS, batches
from calibrate.fit.front_end import fit_front_end
from calibrate.fit.loading import fit_loading
from calibrate.fit.memory import BLOCK_SIZE, fit_memory
from calibrate.fit.scheduling import BORROWED, fit_crowd, fit_scheduling
from calibrate.fit.served import refine_merging, serve, served_steps
from calibrate.fit.serving import average_steps
from calibrate.fit.step import CONTEXT_TOKENS, SERVED_HOURS, fit_step
from calibrate.fit.tables import Tables
from calibrate.runs import MeasuredRun
from twin.behaviour import Behaviour, behaviour_of
from twin.profile import Fit, Pair, Profile, Serving

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
    block_size: int = BLOCK_SIZE
    """Tokens per KV block."""
    graph_tokens: int = GRAPH_TOKENS
    """Batched tokens of the largest CUDA graph, 0 where there are none."""
    context_tokens: float = CONTEXT_TOKENS
    """Mean context of a running request, whose cost goes into `Step.per_request_ms`."""
    scheduling_in_step: bool = False
    """No table tells the scheduler's time apart: it stays in the step, but for what a crowd costs, which crowd.csv
    tells."""
    async_scheduling: bool = True
    """Unless it was switched off, or runs on a CPU, where vLLM cannot; older versions have none anyway."""

    @property
    def pair(self) -> Pair:
        name = f"{self.hub_id.rsplit('/', 1)[-1]}--{self.gpu}".lower()
        return Pair(name=name, model=self.hub_id, gpu=self.gpu.lower(), vllm=self.vllm)


def fit_profile(
    tables: Tables, subject: Subject, command: str, like: Profile | None = None, served: Sequence[MeasuredRun] = ()
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
        block_size=subject.block_size,
    )
    loading, loading_fit = fit_loading(tables.loading, source)
    fits: dict[str, Fit] = {}
    if subject.scheduling_in_step:
        steps, (scheduling, fits["scheduling"]) = None, fit_crowd(tables.crowd, source)
    elif like is not None:
        steps, scheduling = None, like.scheduling
        fits["scheduling"] = like.fits["scheduling"].model_copy(update={"note": BORROWED.format(pair=like.pair.name)})
    elif tables.serving.empty:
        raise CalibrationError(
            "scheduler_steps.csv: no rows of this model; name a profile to take its part from (--like)"
        )
    else:
        steps = average_steps(tables.serving, subject.input_tokens)
        scheduling, fits["scheduling"] = fit_scheduling(steps, source)
    graph_tokens = subject.graph_tokens
    kinds = batches(
        tables,
        steps,
        scheduling,
        loading,
        graph_tokens=graph_tokens,
        budget_tokens=subject.serving.max_num_batched_tokens,
    )
    stepped = fit_step(
        kinds, like.step if like else None, source, graph_tokens=graph_tokens, context_tokens=subject.context_tokens
    )
    front_end, front_end_fit = fit_front_end(
        tables.capacity, scheduling.per_arrival_ms, like.front_end if like else None, source
    )
    profile = Profile(
        pair=subject.pair,
        memory=memory,
        step=stepped.step,
        scheduling=scheduling,
        loading=loading,
        front_end=front_end,
        serving=subject.serving,
        behaviour=_behaviour(subject),
        fits={
            "memory": memory_fit,
            "step": stepped.fit,
            **fits,
            "loading": loading_fit,
            "front_end": front_end_fit,
        },
        command=command,
    )
    return refine(profile, kinds, served, context_tokens=subject.context_tokens) if served else profile


def refine(
    profile: Profile,
    kinds: dict[str, pd.DataFrame],
    served: Sequence[MeasuredRun],
    *,
    rounds: int = ROUNDS,
    without: Collection[str] = (),
    context_tokens: float = CONTEXT_TOKENS,
) -> Profile:
    """Fit the step model and the merging of tokens once more, to `kinds` and hours of serving together.

    `without` names terms to leave out; `context_tokens` as in `Subject`.
    """
    source = profile.fits["step"].source
    for _ in range(rounds):
        hours = serve(served, profile)
        steps = served_steps(hours, profile)
        graph_tokens = profile.step.graph_tokens
        stepped = fit_step(
            {**kinds, SERVED_HOURS: steps},
            None,
            source,
            without,
            graph_tokens=graph_tokens,
            context_tokens=context_tokens,
        )
        front_end, front_end_fit = refine_merging(profile, hours)
        fits = profile.fits | {"step": stepped.fit, "front_end": front_end_fit}
        profile = profile.model_copy(update={"step": stepped.step, "front_end": front_end, "fits": fits})
    return profile


def _behaviour(subject: Subject) -> Behaviour:
    try:
        usual = behaviour_of(subject.vllm)
    except ValueError as error:
        raise CalibrationError(str(error)) from error
    return usual.model_copy(update={"async_scheduling": usual.async_scheduling and subject.async_scheduling})
