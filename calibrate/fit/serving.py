"""Runs under Poisson traffic of requests of one length (scheduler_steps.csv), as what their average step did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

INPUT_TOKENS = 250.0
"""Prompt length in the published scheduler_steps.csv."""
HALF_DONE = 0.5
"""Share of its output tokens that a request in flight has, on average: all answers are of one length."""
UNEVEN = 1.15
"""A client's mean ITL beyond this many mean steps tells of a load that swings, or of requests that wait preempted."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The average step of each run, shape (n,); times in ms."""

    wall: Floats
    """Duration / steps: the step itself only where the engine is never idle."""
    scheduling: Floats
    loading: Floats
    """Timed at bringing adapters from host memory into slots."""
    disk_loads: Floats
    """Adapters read from disk, count per step."""
    decoding: Floats
    """Requests that decode."""
    prompt: Floats
    """Tokens of a prompt."""
    context: Floats
    """Tokens of context of a running request."""
    prefill_tokens: Floats
    adapters: Floats
    """Distinct adapters in the batch: what so many requests for equally busy adapters make, or all the slots hold.

    The table's own `mean_loras_by_batch` falls short of the slots by up to a fifth even where thousands of requests
    wait for one, and of the requests' own share where none waits; steps are explained worse by it.
    """
    max_loras: Floats
    served: Floats
    """Adapters the server accepts requests for."""
    rank: Floats
    batch: Floats
    """Running requests as logged over time."""
    waiting: Floats
    itl: Floats
    """Client's mean ITL."""
    in_flight: Floats
    """Time a running request takes per output token, by Little's law: batch x duration / output tokens."""

    def take(self, rows: NDArray[np.bool_]) -> Steps:
        """The runs where `rows` is true."""
        return Steps(*(getattr(self, name)[rows] for name in self.__slots__))

    @property
    def slots_suffice(self) -> NDArray[np.bool_]:
        """There is a slot for every adapter: no waiting request is ever passed over."""
        return self.max_loras >= self.served

    @property
    def uneven(self) -> NDArray[np.bool_]:
        """The means of the run are not those of a typical step.

        Tokens see longer steps than the mean one where the batch swings, and gaps between steps where requests are
        preempted for want of KV blocks; those are also computed twice, which no column tells, and stop the scan of the
        queue at its head.
        """
        return self.itl > UNEVEN * self.wall


def distinct(requests: ArrayLike, adapters: ArrayLike) -> Floats:
    """Distinct adapters among `requests` that each ask for one of `adapters` at random, on average."""
    pool = np.maximum(np.asarray(adapters, dtype=np.float64), 1.0)
    return np.asarray(adapters, dtype=np.float64) * (1 - (1 - 1 / pool) ** np.asarray(requests, dtype=np.float64))


def average_steps(runs: pd.DataFrame, input_tokens: float) -> Steps:
    """What the average step of each run did.

    Args:
        runs: rows of scheduler_steps.csv.
        input_tokens: prompt length of these runs, which the table does not tell.
    """
    columns = {name: runs[name].to_numpy(dtype=np.float64) for name in runs if name != "model"}
    steps, batch, completed = columns["steps"], columns["avg_batch_size"], columns["completed_requests"]
    answer = columns["processed_tokens"] / completed
    output_tokens = (completed + HALF_DONE * batch) * answer
    decoding = output_tokens / steps
    return Steps(
        wall=1e3 * columns["duration"] / steps,
        scheduling=1e3 * columns["total_scheduling_time"] / steps,
        loading=1e3 * columns["max_lora_loading_time"] / steps,
        disk_loads=columns["max_lora_loads_from_disk"] / steps,
        decoding=decoding,
        prompt=np.full(len(runs), input_tokens),
        context=input_tokens + answer / 2,
        prefill_tokens=(completed + batch) * input_tokens / steps,
        adapters=np.minimum(distinct(decoding, columns["cpu_loras"]), columns["gpu_loras"]),
        max_loras=columns["gpu_loras"],
        served=columns["cpu_loras"],
        rank=columns["rank"],
        batch=batch,
        waiting=columns["avg_waiting_queue"],
        itl=columns["mean_itl_ms"],
        in_flight=1e3 * batch * columns["duration"] / output_tokens,
    )
