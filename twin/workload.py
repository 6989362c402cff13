"""Workloads: which adapters are asked how often and how long their requests are; and the requests drawn from that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from twin.arrivals import Bools, Floats, Ints, Phase, busiest, draw_arrivals, mean_scale, portions, turned
from twin.lengths import Law, LogNormal, Quantiles, Table, by_law, rounded

T = TypeVar("T", bound=np.generic)

BASE = -1
"""In place of an adapter: the request names none, and the base model answers."""
BUSY_S = 60.0
"""How long rates must be high to count, s. A tenth more than a server bears makes requests of a minute wait for 3 s on
average, and what switches faster is much like burstiness."""

STEP_S = 0.03
"""About what a token of an answer takes, s: whose answers follow each other sooner has one in flight at any moment."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A set of adapters as parallel arrays of shape (N,), one entry per adapter, and what they have in common.

    Lengths are log-normal with the means and spreads given here, unless an adapter has quantiles or a table of its
    own; means and spreads are then those of that law.
    """

    rank: Floats
    """LoRA rank."""
    rate: Floats
    """Request rate, requests/s: the mean, where there are no phases."""
    input_mean: Floats
    """Mean prompt length, tokens."""
    input_std: Floats
    """Standard deviation of the prompt length, tokens."""
    output_mean: Floats
    """Mean answer length, tokens."""
    output_std: Floats
    """Standard deviation of the answer length, tokens."""
    cv: Floats
    """Coefficient of variation of the gaps between an adapter's requests; 1 is Poisson where they are Gamma."""
    correlation: float = 0.0
    """Of input and output lengths (of their normal scores, for log-normal lengths their logarithms), -1 to 1."""
    lognormal_gaps: Bools | None = None
    """Whose gaps are log-normal; those of the others, and of all where it is None, are Gamma."""
    input_quantiles: tuple[Quantiles | None, ...] = ()
    """Laws of the prompt length, one entry per adapter; empty where all are log-normal."""
    output_quantiles: tuple[Quantiles | None, ...] = ()
    """Laws of the answer length, in the same way."""
    tables: tuple[Table | None, ...] = ()
    """Prompt and answer lengths that are drawn together, in the same way; they come before quantiles."""
    phases: tuple[Phase, ...] = ()
    """How rates and gaps switch over time, over and over; empty where they do not."""
    shared_prefix: Ints | None = None
    """Tokens that all prompts of an adapter begin with, its system prompt; None where no prompts begin alike.

    They are part of the prompts' length (`input_mean` includes them): log-normal prompts are the prefix and, behind it,
    tokens of their own, whose mean is `input_mean - shared_prefix` and whose spread is all of `input_std`; drawn
    otherwise, a prompt has at least one token behind the prefix. What vLLM computes of a prefix again is up to prefix
    caching: whole KV blocks of it, per adapter, cost no prefill while they are in the KV cache, and those that requests
    use at the same time take room once."""
    base: Workload | None = None
    """Beside the adapters, requests that name none: a single entry, of which only the traffic counts. None: there are
    no such requests."""

    @classmethod
    def alike(
        cls,
        rate: Floats,
        *,
        rank: Floats | float,
        input_mean: float,
        input_std: float,
        output_mean: float,
        output_std: float,
        correlation: float = 0.0,
    ) -> Workload:
        """Adapters with Poisson arrivals that have all in common but their rates and, as an array, their ranks."""

        def each(value: Floats | float) -> Floats:
            return np.broadcast_to(np.asarray(value, dtype=np.float64), rate.shape)

        return cls(
            rank=each(rank),
            rate=rate,
            input_mean=each(input_mean),
            input_std=each(input_std),
            output_mean=each(output_mean),
            output_std=each(output_std),
            cv=each(1.0),
            correlation=correlation,
        )

    def __len__(self) -> int:
        return len(self.rate)

    def stationary(self) -> Workload:
        """The same adapters at their mean rates, without phases."""
        if not self.phases:
            return self
        scale = mean_scale(self.phases)
        base = None if self.base is None else replace(self.base, rate=self.base.rate * scale)
        return replace(self, rate=self.rate * scale, phases=(), base=base)

    @property
    def switches(self) -> bool:
        """Whether rates or gaps differ between phases."""
        return len({(phase.scale, phase.cv, phase.lognormal) for phase in self.phases}) > 1

    def busiest(self) -> Workload:
        """The same adapters in the busiest minute of the phases, without phases, at the gaps that are hardest to serve
        of any that is nearly as busy.

        Bursts of adapters that have a request in flight anyway make others wait. Those of adapters that are asked
        seldom share a slot and what it costs, so that of these more have to be served where they come evenly.

        Whatever is too much for a server for a minute makes requests wait for long, and the mean rates tell nothing of
        it; what is shorter counts by its mean.
        """
        if not self.phases:
            return self
        asked, total = self.traffic, float(self.traffic.rate.sum())
        share = asked.rate / max(total, 1e-300)
        seldom = asked.rate * asked.output_mean * STEP_S < 1.0
        busy = busiest(self.phases, BUSY_S, float(share @ asked.cv), evenest=float(share @ seldom) > 0.5)
        return replace(self._amid(busy.scale, busy.amid), phases=())

    def from_busiest(self, duration_s: float) -> Workload:
        """The same adapters with phases that begin where the busiest time of that length does, of those with a busiest
        minute in them; as they are where all come within it."""
        if sum(phase.duration_s for phase in self.phases) <= duration_s:
            return self
        around_s = min(BUSY_S, duration_s)
        return replace(self, phases=turned(self.phases, busiest(self.phases, duration_s, around_s=around_s).start_s))

    def _amid(self, scale: float, phase: Phase) -> Workload:
        """All rates times that, and gaps as in a phase."""
        lognormal = self.lognormal_gaps
        if phase.lognormal is not None:
            lognormal = np.ones(len(self), dtype=np.bool_) if phase.lognormal else None
        return replace(
            self,
            rate=self.rate * scale,
            cv=self.cv if phase.cv is None else np.full_like(self.cv, phase.cv),
            lognormal_gaps=lognormal,
            base=None if self.base is None else self.base._amid(scale, phase),
        )

    @property
    def traffic(self) -> Workload:
        """All that arrives: an entry for each adapter and, last, one for requests that name none, if there are any."""
        return self if self.base is None else _side_by_side(self, self.base)

    @property
    def offered_tok_s(self) -> float:
        """Offered token rate in the long run: sum of mean rate x (mean input + mean output)."""
        return self.offered_within(None)

    @property
    def base_tok_s(self) -> float:
        """Of the offered token rate, that of requests that name no adapter."""
        return 0.0 if self.base is None else self.base.offered_tok_s * mean_scale(self.phases)

    def offered_within(self, duration_s: float | None) -> float:
        """Offered token rate over the first `duration_s` seconds, which may end amid the phases."""
        traffic = self.traffic
        return float(traffic.rate @ (traffic.input_mean + traffic.output_mean)) * mean_scale(self.phases, duration_s)

    def take(self, indices: NDArray[np.int64]) -> Workload:
        """The adapters at these positions, beside the same base traffic."""

        def some(laws: tuple[Law | None, ...]) -> tuple[Law | None, ...]:
            return tuple(laws[i] for i in indices) if laws else ()

        return replace(
            self,
            rank=self.rank[indices],
            rate=self.rate[indices],
            input_mean=self.input_mean[indices],
            input_std=self.input_std[indices],
            output_mean=self.output_mean[indices],
            output_std=self.output_std[indices],
            cv=self.cv[indices],
            lognormal_gaps=None if self.lognormal_gaps is None else self.lognormal_gaps[indices],
            input_quantiles=some(self.input_quantiles),
            output_quantiles=some(self.output_quantiles),
            tables=some(self.tables),
            shared_prefix=None if self.shared_prefix is None else self.shared_prefix[indices],
        )


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in order of arrival, as parallel arrays."""

    arrival: Floats
    """Seconds since the start, ascending."""
    adapter: Ints
    """Index into the workload; BASE where the request names none."""
    input: Ints
    """Prompt tokens, at least 1."""
    output: Ints
    """Answer tokens, at least 1."""

    def __len__(self) -> int:
        return len(self.arrival)

    def until(self, duration_s: float) -> Requests:
        """Those that arrive before `duration_s` seconds are over."""
        end = int(np.searchsorted(self.arrival, duration_s))
        return Requests(self.arrival[:end], self.adapter[:end], self.input[:end], self.output[:end])

    def within(self, max_model_len: int) -> Requests:
        """Those whose prompt and answer together have at most `max_model_len` tokens: vLLM refuses the others."""
        fit = self.input + self.output <= max_model_len
        if fit.all():
            return self
        return Requests(self.arrival[fit], self.adapter[fit], self.input[fit], self.output[fit])


def draw(workload: Workload, duration_s: float, seed: int) -> Requests:
    """Draw the requests that arrive within `duration_s`; the same seed gives the same requests.

    Arrivals are drawn first, then a pair of correlated normal scores per request, from which the lengths follow;
    they are rounded up or down at random so that rounding does not shift the mean.
    """
    adapters, base, workload = len(workload), workload.base, workload.traffic
    rng = np.random.default_rng(seed)
    gaps = np.zeros(len(workload.rate), dtype=np.bool_) if workload.lognormal_gaps is None else workload.lognormal_gaps
    arrival, adapter = draw_arrivals(
        rng, workload.rate, cv=workload.cv, lognormal=gaps, phases=workload.phases, duration_s=duration_s
    )
    requests = Requests(arrival, adapter, *_draw_lengths(rng, workload, adapter))
    for table, where in by_law(workload.tables, adapter):
        row = rng.integers(len(table), size=len(where))
        requests.input[where], requests.output[where] = table.input[row], table.output[row]
    if workload.shared_prefix is not None:
        np.maximum(requests.input, workload.shared_prefix[adapter] + np.int32(1), out=requests.input)
    if base is not None:
        adapter[adapter == adapters] = BASE
    return requests


def _side_by_side(one: Workload, other: Workload) -> Workload:
    """The entries of two workloads with what the first one's have in common."""

    def both(first: Floats, second: Floats) -> Floats:
        return np.concatenate([first, second])

    def laws(first: tuple[Law | None, ...], second: tuple[Law | None, ...]) -> tuple[Law | None, ...]:
        if not first and not second:
            return ()
        return (*(first or (None,) * len(one)), *(second or (None,) * len(other)))

    def given(values: NDArray[T] | None, of: Workload, kind: type[T]) -> NDArray[T]:
        return np.zeros(len(of), dtype=kind) if values is None else values

    gaps = [given(each.lognormal_gaps, each, np.bool_) for each in (one, other)]
    prefixes = [given(each.shared_prefix, each, np.int32) for each in (one, other)]
    return replace(
        one,
        rank=both(one.rank, other.rank),
        rate=both(one.rate, other.rate),
        input_mean=both(one.input_mean, other.input_mean),
        input_std=both(one.input_std, other.input_std),
        output_mean=both(one.output_mean, other.output_mean),
        output_std=both(one.output_std, other.output_std),
        cv=both(one.cv, other.cv),
        lognormal_gaps=np.concatenate(gaps) if any(each.any() for each in gaps) else None,
        shared_prefix=np.concatenate(prefixes) if any(each.any() for each in prefixes) else None,
        input_quantiles=laws(one.input_quantiles, other.input_quantiles),
        output_quantiles=laws(one.output_quantiles, other.output_quantiles),
        tables=laws(one.tables, other.tables),
        base=None,
    )


def _draw_lengths(rng: np.random.Generator, workload: Workload, adapter: Ints) -> tuple[Ints, Ints]:
    """Tokens of the prompts and of the answers."""
    normal_in = rng.standard_normal(len(adapter))
    normal_out = rng.standard_normal(len(adapter))
    for portion in portions(len(adapter)):
        normal_out[portion] *= np.sqrt(1 - workload.correlation**2)
        normal_out[portion] += workload.correlation * normal_in[portion]

    def lengths(
        normal: Floats, mean: Floats, std: Floats, laws: tuple[Quantiles | None, ...], prefix: Ints | None = None
    ) -> Ints:
        lognormal = LogNormal.of(mean if prefix is None else mean - prefix, std)
        tokens = np.empty(len(normal), dtype=np.int32)
        for portion in portions(len(normal)):
            scores, who = normal[portion], adapter[portion]
            drawn = lognormal(scores, who)
            if prefix is not None:
                drawn += prefix[who]
            for law, where in by_law(laws, who):
                drawn[where] = law(scores[where])
            tokens[portion] = rounded(rng, drawn)
        return tokens

    return (
        lengths(normal_in, workload.input_mean, workload.input_std, workload.input_quantiles, workload.shared_prefix),
        lengths(normal_out, workload.output_mean, workload.output_std, workload.output_quantiles),
    )
