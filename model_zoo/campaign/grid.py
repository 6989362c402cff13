"""Which workloads the zoo is trained on: named grids, each a list of mixes and what is tried of every mix.

`wide` and `small` spread mixes evenly over what a server may meet, from one seed; fewer of them are the first ones of
more. `papers` is the complete grid of Agulló et al. (arXiv 2508.08343).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from twin.lengths import SHAREGPT
from twin.workload import Workload

Floats = NDArray[np.float64]

RATES = (3.2, 1.6, 0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125)
"""The papers' request rates, requests/s."""
RANKS = (8, 16, 32)
"""The papers' adapter ranks."""
USUAL_RANKS = (8, 8, 16, 16, 16, 32, 32, 64, 64, 128, 256, 512)
"""Ranks of other mixes, the usual ones more often."""
POINTS = (8, 16, 32, 64, 96, 128, 160, 192, 256, 320, 384)
"""The papers' numbers of adapters and of slots."""
SLOTS = (0.4, 0.6, 0.8, 1.0, 1.3, 1.8, 3.0)
"""Slot counts simulated, where memory allows them: times those that the estimate finds best at the limit."""
MAX_ADAPTERS = 16_384
"""Most adapters served at once."""
TYPICAL = 128
"""Adapters that stand for a mix of any size."""
TOKEN_RATE = (0.02, 4000.0)
"""Tokens/s of an adapter, on average over a mix: from those that are hardly ever asked to the few that fill a GPU."""
INPUT_MEAN, OUTPUT_MEAN = (50.0, 10_000.0), (2.0, 4000.0)
"""Tokens of a request, on average over a mix."""
TOKENS = {"input": (10.0, 30_000.0), "output": (1.0, 16_000.0)}
"""Where the mean lengths of an adapter are cut off."""
CV = (0.4, 10.0)
"""Where the variation of an adapter's gaps is cut off."""

EVEN = 1 / 3
"""Share of the alike, bursty and varied mixes whose adapters are all asked equally often, as most inventories say."""
WITH_BASE = 0.3
"""Share of the mixes, those of the papers' kind left out, with requests that name no adapter."""
BASE_SHARE = (0.05, 0.95)
"""Of their tokens, what such requests bring."""
WITH_PREFIX = 0.3
"""Share of those mixes whose prompts begin alike."""
PREFIX_SHARE = (0.1, 0.9)
"""Of an adapter's mean prompt, what all of its prompts begin with."""

Kind = Literal["papers", "alike", "bursty", "varied", "production"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_KIND_ENDS = (0.25, 0.4375, 0.625, 0.8125)
"""Up to which share of the mixes each kind but the last goes."""


@dataclass(frozen=True, slots=True)
class Classes:
    """A few values, each for an equal share of the adapters."""

    values: tuple[float, ...]

    def deal(self, count: int) -> Floats:
        """The values of so many adapters, in the order of the classes."""
        return self.quantile((np.arange(count) + 0.5) / count)

    def scaled(self, times: float) -> Classes:
        """So many times the values."""
        return Classes(tuple(times * value for value in self.values))

    def quantile(self, unit: Floats) -> Floats:
        """The values at these points of [0, 1)."""
        return np.array(self.values, dtype=np.float64)[(unit * len(self.values)).astype(np.int64)]


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Values spread log-normally; `sigma` is the standard deviation of their logarithm."""

    mean: float
    sigma: float

    def deal(self, count: int) -> Floats:
        """The values of so many adapters, descending: each the mean of its share of the law, so that theirs is kept."""
        return self.mean * count * -np.diff(ndtr(ndtri(np.linspace(1, 0, count + 1)) - self.sigma))

    def scaled(self, times: float) -> LogNormal:
        """So many times the values."""
        return replace(self, mean=times * self.mean)

    def quantile(self, unit: Floats) -> Floats:
        """The values at these points of (0, 1)."""
        return self.mean * np.exp(self.sigma * ndtri(unit) - self.sigma**2 / 2)


@dataclass(frozen=True, slots=True)
class Zipf:
    """Values in proportion to place ** -exponent, the exponent below 1."""

    mean: float
    exponent: float

    def deal(self, count: int) -> Floats:
        """As `LogNormal.deal`."""
        return self.mean * count * np.diff(np.linspace(0, 1, count + 1) ** (1 - self.exponent))

    def scaled(self, times: float) -> Zipf:
        """So many times the values."""
        return replace(self, mean=times * self.mean)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Request lengths in tokens. The means of single adapters are log-normal around the ones given here."""

    input_mean: float
    input_std: float
    output_mean: float
    output_std: float
    correlation: float
    """Of the input and output lengths of a request."""
    input_sigma: float = 0.0
    """Standard deviation of the logarithm of the adapters' mean input; 0 where they are all alike."""
    output_sigma: float = 0.0
    """The same of the output."""

    def deal(self, input_unit: Floats, output_unit: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Means and standard deviations of input, then of output, for adapters at these points of (0, 1)."""
        prompt = np.clip(LogNormal(self.input_mean, self.input_sigma).quantile(input_unit), *TOKENS["input"])
        answer = np.clip(LogNormal(self.output_mean, self.output_sigma).quantile(output_unit), *TOKENS["output"])
        return (
            prompt,
            prompt * (self.input_std / self.input_mean),
            answer,
            answer * (self.output_std / self.output_mean),
        )


@dataclass(frozen=True, slots=True)
class Service:
    """How clients of a production service differ: log-normal in all respects (means, and sigmas of logarithms)."""

    rate_sigma: float
    cv: LogNormal
    lengths: Lengths


# Fitted to the clients of two services of ServeGen (Alibaba, arXiv 2505.09999, Apache-2.0) in their busiest hours, by
# the mean and standard deviation of the logarithms; the spread within a client is the median one. m-large is a chat
# model, deepseek-r1 a reasoning one.
SERVICES = (
    Service(2.43, LogNormal(2.37, 0.77), Lengths(1254, 652, 181, 164, 0.0, 1.03, 1.39)),
    Service(1.84, LogNormal(2.08, 0.72), Lengths(1881, 1307, 922, 481, 0.0, 1.51, 0.65)),
)

PAPER_LENGTHS = Lengths(*SHAREGPT)
"""Those of the papers' measurements."""
POISSON = LogNormal(1.0, 0.0)
"""Variation of the gaps of Poisson arrivals."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the adapters of one mix are made; any number of them have nearly the same rates, ranks and lengths."""

    number: int
    """Place in the sequence of mixes, and the seed of what is dealt to which adapter."""
    kind: Kind
    rates: Classes | LogNormal | Zipf
    """Requests/s."""
    ranks: Classes
    lengths: Lengths
    cv: LogNormal = POISSON
    """Coefficient of variation of the gaps between an adapter's requests."""
    base_share: float = 0.0
    """Of all tokens, what requests bring that name no adapter."""
    prefix_share: float = 0.0
    """Of each adapter's mean prompt, what all of its prompts begin with."""

    def adapters(self, count: int) -> Workload:
        """So many adapters, at most `MAX_ADAPTERS`, and their share of base traffic."""
        rank, prompt, answer, gaps = _points(self.number)[:count].T
        cv = np.clip(self.cv.quantile(gaps), *CV)
        mix = Workload(
            self.ranks.quantile(rank),
            self.rates.deal(count),
            *self.lengths.deal(prompt, answer),
            cv,
            correlation=self.lengths.correlation,
        )
        if self.prefix_share:
            mix = replace(mix, shared_prefix=(self.prefix_share * mix.input_mean).astype(np.int32))
        return replace(mix, base=self._base(mix.offered_tok_s)) if self.base_share else mix

    def _base(self, beside_tok_s: float) -> Workload:
        """Base traffic with the mean lengths and gaps of the adapters, which bring so many tokens/s."""
        lengths = self.lengths
        token_rate = beside_tok_s * self.base_share / (1 - self.base_share)
        base = Workload.alike(
            np.array([token_rate / (lengths.input_mean + lengths.output_mean)]),
            rank=0.0,
            input_mean=lengths.input_mean,
            input_std=lengths.input_std,
            output_mean=lengths.output_mean,
            output_std=lengths.output_std,
        )
        return replace(base, cv=np.clip(np.array([self.cv.mean]), *CV))


@dataclass(frozen=True, slots=True)
class Grid:
    """How much is simulated."""

    mixes: int
    duration_s: float
    """Simulated time of a run."""
    slots: tuple[float, ...]
    """Slot counts tried, as times those of the estimate, ascending; where memory does not allow them, the most that it
    does."""
    max_adapters: int
    """Most adapters tried."""
    adapters: tuple[int, ...] = ()
    """Numbers of adapters tried with all slots up to them, of the papers' mixes; empty: the search chooses."""

    def recipes(self, seed: int) -> list[Recipe]:
        """The mixes."""
        return papers()[: self.mixes] if self.adapters else sample(self.mixes, seed)


class GridName(StrEnum):
    """The grids there are."""

    COMMON = "common"
    WIDE = "wide"
    PAPERS = "papers"
    SMALL = "small"


GRIDS: dict[GridName, Grid] = {
    GridName.COMMON: Grid(mixes=3584, duration_s=3600.0, slots=SLOTS, max_adapters=MAX_ADAPTERS),
    GridName.WIDE: Grid(mixes=1024, duration_s=3600.0, slots=SLOTS, max_adapters=MAX_ADAPTERS),
    GridName.PAPERS: Grid(mixes=2860, duration_s=3600.0, slots=(), max_adapters=POINTS[-1], adapters=POINTS),
    GridName.SMALL: Grid(mixes=96, duration_s=1200.0, slots=(0.5, 1.0, 2.0), max_adapters=1024),
}


def papers() -> list[Recipe]:
    """The papers' mixes: every three of `RATES` with every three of their ranks."""
    rates = [Classes(triple) for triple in combinations_with_replacement(RATES, 3)]
    ranks = [Classes(triple) for triple in combinations_with_replacement(RANKS, 3)]
    pairs = [(rate, rank) for rate in rates for rank in ranks]
    return [Recipe(number, "papers", rate, rank, PAPER_LENGTHS) for number, (rate, rank) in enumerate(pairs)]


def sample(count: int, seed: int) -> list[Recipe]:
    """The first `count` mixes of a space-filling sequence (scrambled Sobol), a quarter of the papers' kind.

    Of the others each kind has three sixteenths: all adapters with Poisson arrivals and `alike` in lengths, `bursty`
    with gap variations from 1 to 5, `varied` in lengths, or both and skewed as in `production`. A third of those but
    the last kind have even rates. Three in ten of these have base traffic, and as many prompts that begin alike.
    """
    points = qmc.Sobol(17, scramble=True, rng=np.random.default_rng(seed)).random_base2((count - 1).bit_length())
    recipes = [_recipe(number, point) for number, point in enumerate(points[:count])]
    return [_with_traits(recipe, seed) for recipe in recipes]


def _with_traits(recipe: Recipe, seed: int) -> Recipe:
    """What a mix has of base traffic, of shared prefixes and of even rates: nothing in most."""
    if isinstance(recipe.rates, Classes):  # as the papers' are
        return recipe
    base, prefix, even = np.random.default_rng([seed, recipe.number, 5]).random(3).tolist()
    level = even < EVEN and recipe.kind != "production"
    return replace(
        recipe,
        rates=Classes((recipe.rates.mean,)) if level else recipe.rates,
        base_share=_between(base / WITH_BASE, *BASE_SHARE),
        prefix_share=_between(prefix / WITH_PREFIX, *PREFIX_SHARE),
    )


def _between(unit: float, low: float, high: float) -> float:
    """From low to high where a number lies below 1, else 0."""
    return low + unit * (high - low) if unit < 1 else 0.0


def _recipe(number: int, point: Floats) -> Recipe:
    kind = KINDS[int(np.searchsorted(_KIND_ENDS, point[0], side="right"))]
    if kind == "papers":
        triple = Classes(tuple(sorted(Classes(RATES).quantile(point[1:4]).tolist(), reverse=True)))
        return Recipe(number, kind, triple, _ranks(RANKS, point[4:7]), PAPER_LENGTHS)
    ranks = _ranks(USUAL_RANKS, point[4:7] if point[7] < 0.5 else point[4:5])
    token_rate, unit = _log_scaled(point[1], *TOKEN_RATE), point[8:]
    if kind == "production":
        service = SERVICES[int(2 * unit[0])]
        lengths = _scaled(service.lengths, _log_scaled(unit[1], 0.5, 2), _log_scaled(unit[2], 0.5, 2))
        rate_mean = token_rate / (lengths.input_mean + lengths.output_mean)
        return Recipe(number, kind, LogNormal(rate_mean, service.rate_sigma), ranks, lengths, service.cv)
    input_mean, output_mean = _log_scaled(unit[0], *INPUT_MEAN), _log_scaled(unit[1], *OUTPUT_MEAN)
    spread, varied, bursty = 0.2 + 1.2 * unit[2:4], kind == "varied", kind == "bursty"
    lengths = Lengths(
        input_mean,
        float(spread[0]) * input_mean,
        output_mean,
        float(spread[1]) * output_mean,
        correlation=0.7 * float(unit[4]) - 0.35,
        input_sigma=1.2 * float(unit[5]) * varied,
        output_sigma=1.2 * float(unit[6]) * varied,
    )
    rate_mean, skew = token_rate / (input_mean + output_mean), float(point[3])
    rates = LogNormal(rate_mean, 2.4 * skew) if point[2] < 0.6 else Zipf(rate_mean, 0.9 * skew)
    cv = LogNormal(1 + 4 * float(unit[7]), 0.75 * float(unit[8])) if bursty else POISSON
    return Recipe(number, kind, rates, ranks, lengths, cv)


def _ranks(known: tuple[int, ...], unit: Floats) -> Classes:
    return Classes(tuple(sorted(Classes(known).quantile(unit).tolist())))


def _scaled(lengths: Lengths, prompts: float, answers: float) -> Lengths:
    return Lengths(
        lengths.input_mean * prompts,
        lengths.input_std * prompts,
        lengths.output_mean * answers,
        lengths.output_std * answers,
        lengths.correlation,
        lengths.input_sigma,
        lengths.output_sigma,
    )


def _log_scaled(unit: float, low: float, high: float) -> float:
    return float(low * (high / low) ** unit)


@lru_cache(maxsize=4)
def _points(number: int) -> Floats:
    """Where in the laws of rank, input, output and gaps each adapter of a mix lies, in (0, 1): (MAX_ADAPTERS, 4)."""
    sobol = qmc.Sobol(4, scramble=True, rng=np.random.default_rng([number, 2]))
    return np.clip(sobol.random(MAX_ADAPTERS), 1e-6, 1 - 1e-6)
