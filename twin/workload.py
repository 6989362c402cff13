"""Workloads: which adapters are asked how often and how long their requests are; and the requests drawn from that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Workload:
    """A set of adapters as parallel arrays of shape (N,), one entry per adapter."""

    rank: Floats
    """LoRA rank."""
    rate: Floats
    """Mean request rate, requests/s."""
    input_mean: Floats
    """Mean prompt length, tokens."""
    input_std: Floats
    """Standard deviation of the prompt length, tokens."""
    output_mean: Floats
    """Mean answer length, tokens."""
    output_std: Floats
    """Standard deviation of the answer length, tokens."""
    cv: Floats
    """Coefficient of variation of the gaps between an adapter's requests; 1 is Poisson."""
    correlation: float = 0.0
    """Of input and output lengths (of their logarithms), -1 to 1."""

    @property
    def offered_tok_s(self) -> float:
        """Offered token rate: sum of rate x (mean input + mean output)."""
        return float(self.rate @ (self.input_mean + self.output_mean))


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in order of arrival, as parallel arrays."""

    arrival: Floats
    """Seconds since the start, ascending."""
    adapter: Ints
    """Index into the workload."""
    input: Ints
    """Prompt tokens, at least 1."""
    output: Ints
    """Answer tokens, at least 1."""

    def __len__(self) -> int:
        return len(self.arrival)


def draw(workload: Workload, duration_s: float, seed: int, max_model_len: int) -> Requests:
    """Draw the requests that arrive within `duration_s`; the same seed gives the same requests.

    Poisson adapters (cv = 1) are drawn together, as one Poisson process whose events are dealt out by rate; the
    others one by one with Gamma-distributed gaps. Lengths are log-normal with the workload's means and spreads,
    rounded up or down at random so that rounding does not shift the mean, and cut to `max_model_len` as vLLM does.
    """
    rng = np.random.default_rng(seed)
    poisson = workload.cv == 1.0
    arrival, adapter = _poisson_arrivals(rng, np.where(poisson, workload.rate, 0.0), duration_s)
    bursty = np.flatnonzero(~poisson)
    if bursty.size:
        drawn = [_gamma_arrivals(rng, float(workload.rate[i]), float(workload.cv[i]), duration_s) for i in bursty]
        arrival = np.concatenate([arrival, *drawn])
        adapter = np.concatenate([adapter, np.repeat(bursty, [len(times) for times in drawn]).astype(np.int32)])
        order = np.argsort(arrival, kind="stable")
        arrival, adapter = arrival[order], adapter[order]

    normal_in = rng.standard_normal(len(arrival))
    normal_out = rng.standard_normal(len(arrival))
    normal_out = workload.correlation * normal_in + np.sqrt(1 - workload.correlation**2) * normal_out
    prompt = _lengths(rng, normal_in, workload.input_mean, workload.input_std, adapter)
    answer = _lengths(rng, normal_out, workload.output_mean, workload.output_std, adapter)
    prompt = np.minimum(prompt, max_model_len - 1)
    answer = np.minimum(answer, max_model_len - prompt)
    return Requests(arrival, adapter, prompt, answer)


def _poisson_arrivals(rng: np.random.Generator, rate: Floats, duration_s: float) -> tuple[Floats, Ints]:
    total = float(rate.sum())
    if total == 0.0:
        return np.empty(0), np.empty(0, dtype=np.int32)
    # Given their number, the events of a Poisson process are uniform; as running sums of exponential gaps they come
    # sorted.
    count = int(rng.poisson(total * duration_s))
    sums = np.cumsum(rng.standard_exponential(count + 1))
    arrival = sums[:-1] * (duration_s / sums[-1])
    return arrival, _deal_out(rng, rate / total, count)


def _deal_out(rng: np.random.Generator, share: Floats, count: int) -> Ints:
    """Draw `count` indices with these probabilities: Walker's alias method, constant time per draw."""
    n = len(share)
    keep, alias = share * n, np.arange(n)
    small = [i for i in range(n) if keep[i] < 1.0]
    large = [i for i in range(n) if keep[i] >= 1.0]
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        keep[high] -= 1.0 - keep[low]
        if keep[high] < 1.0:
            small.append(large.pop())
    where = rng.random(count) * n
    index = where.astype(np.int32)
    return np.where(where - index < keep[index], index, alias[index]).astype(np.int32)


def _gamma_arrivals(rng: np.random.Generator, rate: float, cv: float, duration_s: float) -> Floats:
    """Arrivals of a renewal process with Gamma gaps (shape 1/cv^2), started in the middle of a gap."""
    shape, scale = 1.0 / cv**2, cv**2 / rate
    # The gap that covers time 0 is longer than most: it is met in proportion to its length.
    times = np.array([rng.random() * rng.gamma(shape + 1.0, scale)])
    while times[-1] < duration_s:
        expected = int((duration_s - times[-1]) * rate * 1.1) + 16
        times = np.concatenate([times, times[-1] + np.cumsum(rng.gamma(shape, scale, size=expected))])
    return times[times < duration_s]


def _lengths(rng: np.random.Generator, normal: Floats, mean: Floats, std: Floats, adapter: Ints) -> Ints:
    """Log-normal lengths in tokens from standard normal draws."""
    variance = np.log1p((std / mean) ** 2)
    mu, sigma = np.log(mean) - variance / 2, np.sqrt(variance)
    if np.ptp(mu) == 0.0 and np.ptp(sigma) == 0.0:
        tokens = np.exp(mu[0] + sigma[0] * normal)
    else:
        tokens = np.exp(mu[adapter] + sigma[adapter] * normal)
    return np.maximum(tokens + rng.random(len(tokens)), 1.0).astype(np.int32)
