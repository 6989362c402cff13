"""How long requests are: log-normal, by quantiles, or as a table of lengths that occurred."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Positions = NDArray[np.int64]
Law = TypeVar("Law", bound=Hashable)

TAIL = 10.0
"""No length drawn from quantiles is above so many times the largest of them."""
_FAR = 9.0
"""A normal score that is never drawn."""
_GRID = np.linspace(-_FAR, _FAR, 1201)
_WEIGHTS = np.exp(-(_GRID**2) / 2) / np.exp(-(_GRID**2) / 2).sum()


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Lengths of which some quantiles are known.

    Between them the logarithm of the length is linear in the normal score (so two quantiles make a log-normal
    distribution); below the first and above the last the outermost pieces go on, up to `TAIL` times the last.
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
        values = np.array([tokens[share] for share in shares], dtype=np.float64)
        if len(shares) < 2 or not (values >= 1).all() or not (np.diff(values) >= 0).all():
            raise ValueError("at least two quantiles of 1 token or more, none of them falling, are needed")
        score = np.array([NormalDist().inv_cdf(share) for share in shares])
        log_tokens = np.log(values)
        first, last = np.diff(log_tokens)[[0, -1]] / np.diff(score)[[0, -1]]
        low = log_tokens[0] - first * (score[0] + _FAR)
        reach = min(np.log(TAIL) / last, _FAR - score[-1]) if last > 0 else _FAR - score[-1]
        return cls(
            np.concatenate([[-_FAR], score, [score[-1] + reach]]),
            np.concatenate([[low], log_tokens, [log_tokens[-1] + last * reach]]),
        )

    def __call__(self, normal: Floats) -> Floats:
        """Lengths in tokens, not rounded, from standard normal draws."""
        return np.exp(np.interp(normal, self.score, self.log_tokens))

    @cached_property
    def mean(self) -> float:
        """Mean length, tokens."""
        return float(_WEIGHTS @ self(_GRID))

    @cached_property
    def std(self) -> float:
        """Standard deviation of the length, tokens."""
        return float(np.sqrt(_WEIGHTS @ (self(_GRID) - self.mean) ** 2))


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


def lognormal(normal: Floats, mean: Floats, std: Floats, adapter: Ints) -> Floats:
    """Log-normal lengths in tokens, not rounded, from standard normal draws; `mean` and `std` are per adapter."""
    variance = np.log1p((std / mean) ** 2)
    mu, sigma = np.log(mean) - variance / 2, np.sqrt(variance)
    if np.ptp(mu) == 0.0 and np.ptp(sigma) == 0.0:
        return np.exp(mu[0] + sigma[0] * normal)
    return np.exp(mu[adapter] + sigma[adapter] * normal)


def rounded(rng: np.random.Generator, tokens: Floats) -> Ints:
    """Whole tokens, at least 1: up or down at random, so that rounding does not shift the mean."""
    return np.maximum(tokens + rng.random(len(tokens)), 1.0).astype(np.int32)


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
