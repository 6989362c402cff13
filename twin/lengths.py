"""How long requests are: log-normal, by quantiles, or as a table of lengths that occurred."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from math import erfc
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Positions = NDArray[np.int64]
Law = TypeVar("Law", bound=Hashable)

LONGEST = (1 << 30) - 1
"""No prompt or answer has more tokens, so that both together stay within 32 bits."""
TAIL = 10.0
"""No length drawn from quantiles is above so many times the largest of them."""
_UNSEEN = 1e-6
"""A shift of a mean that is left as it is, relative: the draws that models were trained on stay the same to the bit."""
_LEAST = 1e-12
"""In place of 0, for a spread and for the tokens by which a mean is above 1."""
_NEAR = 5.5
"""Spreads of the logarithm within which 1 token or `LONGEST` have to be, or one in fifty million is beyond them and the
mean stays."""
_FAR = 9.0
"""A normal score that is never drawn."""
_GRID = np.linspace(-_FAR, _FAR, 1201)
_WEIGHTS = np.exp(-(_GRID**2) / 2) / np.exp(-(_GRID**2) / 2).sum()


class Moments(NamedTuple):
    """Log-normal lengths by mean and standard deviation, tokens."""

    input_mean: float
    input_std: float
    output_mean: float
    output_std: float
    correlation: float = 0.0
    """Of the logarithms of a request's input and output, -1 to 1."""


SHAREGPT = Moments(223.0, 191.0, 196.0, 181.0, -0.40)
"""The requests that the published measurements drew from a cleaned ShareGPT.

Nobody wrote their lengths down; the KV cache tells the correlation. On servers where nothing waits a running request
holds 361.8 (Llama, 24 hours) and 359.3 tokens (Qwen, 38), standard error 0.6 and 0.4: `gpu_cache_usage_perc_mean` x
capacity / `num_running_mean`, less the block that vLLM keeps for itself. Log-normal lengths of these means and spreads
come to 368 and 363 at -0.35, 363 and 358 at -0.40, 358 and 353 at -0.45, blocks of 16 counted whole and answers as long
as they were (`calibrate.runs.ANSWERED`). `tests/calibrate/validation/test_sharegpt.py` computes both sides.
"""


@cache
def _score(share: float) -> float:
    """The normal score that this share of draws stays below."""
    return NormalDist().inv_cdf(share)


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Lengths of which some quantiles are known.

    Between them the logarithm of the length is linear in the normal score (so two quantiles make a log-normal
    distribution); below the first and above the last the outermost pieces go on, down to 1 token and up to `TAIL` times
    the last.
    """

    score: Floats
    """Normal scores, ascending."""
    log_tokens: Floats
    """Natural logarithm of the tokens at these scores; constant beyond the last."""

    @classmethod
    def of(cls, tokens: Mapping[float, float]) -> Quantiles:
        """From the share of requests that are no longer -> tokens, such as {0.5: 120, 0.95: 800}.

        Raises:
            ValueError: fewer than two, a share outside (0, 1), tokens below 1 or falling with the share.
        """
        shares = sorted(tokens)
        values = [float(tokens[share]) for share in shares]
        if len(shares) < 2 or not values[0] >= 1 or not all(low <= high for low, high in pairwise(values)):
            raise ValueError("at least two quantiles of 1 token or more, none of them falling, are needed")
        score = [_score(share) for share in shares]
        log_tokens = np.log(values).tolist()
        first = (log_tokens[1] - log_tokens[0]) / (score[1] - score[0])
        last = (log_tokens[-1] - log_tokens[-2]) / (score[-1] - score[-2])
        low = log_tokens[0] - first * (score[0] + _FAR)
        reach = min(np.log(TAIL) / last, _FAR - score[-1]) if last > 0 else _FAR - score[-1]
        return cls(
            np.array([-_FAR, *score, score[-1] + reach]), np.array([low, *log_tokens, log_tokens[-1] + last * reach])
        )

    def __call__(self, normal: Floats) -> Floats:
        """Lengths in tokens, not rounded, from standard normal draws."""
        return np.minimum(np.maximum(np.exp(np.interp(normal, self.score, self.log_tokens)), 1.0), LONGEST)

    @property
    def mean(self) -> float:
        """Mean length, tokens."""
        return self._moments[0]

    @property
    def std(self) -> float:
        """Standard deviation of the length, tokens, once it is `rounded`."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[float, float]:
        tokens = self(_GRID)
        mean = float(_WEIGHTS @ tokens)
        part = tokens - np.floor(tokens)
        return mean, float(np.sqrt(_WEIGHTS @ ((tokens - mean) ** 2 + part * (1.0 - part))))


@dataclass(frozen=True, eq=False)
class Table:
    """Lengths that occurred, of prompt and answer together; requests are drawn from them with replacement."""

    input: Ints
    """Prompt tokens, at least 1; shape (n,)."""
    output: Ints
    """Answer tokens, at least 1; shape (n,)."""

    def __len__(self) -> int:
        return len(self.input)

    @cached_property
    def input_mean(self) -> float:
        """Mean prompt length, tokens."""
        return float(self.input.mean())

    @cached_property
    def input_std(self) -> float:
        """Standard deviation of the prompt length, tokens."""
        return float(self.input.std())

    @cached_property
    def output_mean(self) -> float:
        """Mean answer length, tokens."""
        return float(self.output.mean())

    @cached_property
    def output_std(self) -> float:
        """Standard deviation of the answer length, tokens."""
        return float(self.output.std())


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Log-normal lengths, parallel arrays with one entry per adapter, or with one for all."""

    mu: Floats
    """Mean of the logarithm of the tokens."""
    sigma: Floats
    """Standard deviation of the logarithm."""

    @classmethod
    def of(cls, mean: Floats, std: Floats) -> LogNormal:
        """With these means, tokens, once they are `rounded`, and these spreads before.

        A length has one token or more, and so the means of short ones would rise: mu is lowered where they would.
        """
        if len(mean) and np.ptp(mean) == 0.0 and np.ptp(std) == 0.0:
            mean, std = mean[:1], std[:1]
        variance = np.log1p((std / mean) ** 2)
        mu, sigma = np.log(mean) - variance / 2, np.sqrt(variance)
        return cls(_with_means(mean, mu, sigma), sigma)

    def __call__(self, normal: Floats, adapter: Ints) -> Floats:
        """Lengths in tokens, not rounded, from standard normal draws for these adapters."""
        if len(self.mu) == 1:
            return np.exp(self.mu[0] + self.sigma[0] * normal)
        return np.exp(self.mu[adapter] + self.sigma[adapter] * normal)


def rounded(rng: np.random.Generator, tokens: Floats) -> Ints:
    """Whole tokens, 1 to `LONGEST`: up or down at random, so that rounding does not shift the mean."""
    whole = tokens + rng.random(len(tokens))
    return np.clip(whole, 1.0, LONGEST, out=whole).astype(np.int32)


def _with_means(mean: Floats, mu: Floats, sigma: Floats) -> Floats:
    """`mu`, but for lengths whose means 1 token at least and `LONGEST` at most shift by a millionth: solved for those.

    The logarithm of the mean above 1 token is a concave function of mu that rises, so Newton's method comes from below
    after its first step, and arrives.
    """
    near = np.minimum(mu, np.log(LONGEST) - mu - sigma**2) < _NEAR * sigma
    if near.any():
        mu[near] = _solved(mean[near], mu[near], sigma[near])
    return mu


def _solved(mean: Floats, mu: Floats, sigma: Floats) -> Floats:
    _, first, which = np.unique(mu + 1j * sigma, return_index=True, return_inverse=True)
    wanted, found, spread = mean[first], mu[first], sigma[first]
    above, _ = _above_one(found, np.maximum(spread, _LEAST))
    shifted = np.flatnonzero((np.abs(above + 1.0 - wanted) >= _UNSEEN * wanted) & (wanted < LONGEST / 2))
    if not shifted.size:
        return mu
    target, spread = np.maximum(wanted[shifted] - 1.0, _LEAST), np.maximum(spread[shifted], _LEAST)
    solution = found[shifted]
    for _ in range(100):
        above, slope = _above_one(solution, spread)
        step = np.log(target / above) * above / slope
        solution += step
        if np.abs(step).max() < 1e-9:
            break
    found[shifted] = solution
    changed = np.zeros(len(first), dtype=np.bool_)
    changed[shifted] = True
    return np.where(changed[which], found[which], mu)


def _above_one(mu: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """How far the mean of log-normal lengths, kept between 1 token and `LONGEST`, is above 1; and its slope in mu."""
    mean, far = np.exp(mu + sigma**2 / 2), np.log(LONGEST)
    to_one, to_longest = mu / sigma, (mu - far) / sigma
    share = normal_share(to_one + sigma), normal_share(to_longest + sigma)
    above = (mean * share[0] - normal_share(to_one)) - (mean * share[1] - LONGEST * normal_share(to_longest))
    return above, mean * (share[0] - share[1])


def normal_share(score: Floats) -> Floats:
    """The share of normal draws below a score: the standard normal distribution function."""
    return np.array([erfc(each) for each in score.ravel() * -np.sqrt(0.5)]).reshape(score.shape) / 2


def by_law(laws: Sequence[Law | None], adapter: Ints) -> Iterator[tuple[Law, Positions]]:
    """Each law with the positions of the requests it is for; `laws` has one entry per adapter, or is empty."""
    number: dict[Law, int] = {}
    index = np.array([-1 if law is None else number.setdefault(law, len(number)) for law in laws], dtype=np.int64)
    if not number:
        return
    of_request = index[adapter]
    order = np.argsort(of_request, kind="stable")
    bounds = np.searchsorted(of_request[order], np.arange(len(number) + 1))
    for law, start, stop in zip(number, bounds[:-1], bounds[1:], strict=True):
        yield law, order[start:stop]
