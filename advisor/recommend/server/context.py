"""How long a sequence the server must take: vLLM refuses a request whose prompt and answer exceed `max_model_len`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from advisor.derive.llm.windows import COUNTED, are_left_out
from advisor.names import counted
from advisor.recommend.server.launched import with_settings
from twin.profile import Profile
from twin.settings import Settings, slot_rank
from twin.workload import Requests, Workload, draw

SAMPLE = 50_000
"""Requests drawn to see which fit: one in a thousand is then known to within a third."""
TOLERATED = 1e-3
"""Share of refused requests that nobody is warned of."""
SPREADS = 12.0
"""Lengths are taken to stay within so many standard deviations of their mean, where that alone shows that all fit: of
log-normal lengths with a spread of twice the mean one in twenty thousand does not."""
STEP = 1024
"""A limit is recommended in multiples of so many tokens."""
FEW_SLOTS = 16
"""Adapter slots that a limit which nobody asked for has to leave room for."""
OF_KV_CACHE = 0.8
"""Of the KV cache, what one sequence may take that no request needs: a cache that turns out somewhat smaller still lets
the server start, and one such sequence leaves room to others."""


@dataclass(frozen=True, slots=True)
class Context:
    """The longest sequence that is settled on, and the traffic that it leaves."""

    max_model_len: int
    """Tokens."""
    refused_share: float
    """Of the requests, those that vLLM refuses because they are longer."""
    accepted: Workload | None
    """The adapters with the traffic that is not refused; None where all of it is."""
    warnings: tuple[str, ...]
    wanted: int = 0
    """The limit in force, where memory does not hold as long a sequence beside more than a few slots; else 0."""
    as_counted: str = ""
    """What is to be added where that is said of a model whose windows of attention are not counted."""

    @property
    def told_of_any(self) -> tuple[str, ...]:
        """The same of servers that differ in slots: what is recommended for all of them alike."""
        if not self.wanted:
            return ()
        return (
            f"one sequence of max_model_len {self.wanted:,} does not fit into the KV cache, and vLLM would not "
            f"start{self.as_counted}: {self.max_model_len:,} is recommended, which all requests fit into",
        )

    def refused_by(self, settings: Settings, workload: Workload) -> float:
        """Of the requests, those longer than what is launched with."""
        if settings.max_model_len == self.max_model_len:
            return self.refused_share
        return refused_share(workload, settings.max_model_len)

    def told(self, settings: Settings, kv_tokens: int) -> tuple[str, ...]:
        """What is recommended in place of a limit that memory does not hold: one that is launched with beside a KV
        cache of so many tokens."""
        slots, longest = counted(settings.max_loras, "adapter slot"), settings.max_model_len
        if longest >= self.wanted:
            return ()
        which = "which your requests need"
        if longest > self.max_model_len:
            which = f"{OF_KV_CACHE:.0%} of it, and your requests need {self.max_model_len:,}"
        return (
            f"the KV cache holds {kv_tokens:,} tokens beside {slots}, less than one sequence of max_model_len "
            f"{self.wanted:,}, and vLLM would not start{self.as_counted}: {longest:,} is recommended, {which}",
        )


def longest_beside(kv_tokens: int, needed: int, wanted: int) -> int:
    """As long a sequence as is `wanted`, as far as a KV cache of so many tokens has room, but no less than `needed`."""
    if kv_tokens >= wanted > 0:
        return wanted
    return max(min(math.floor(OF_KV_CACHE * kv_tokens / STEP) * STEP, wanted), needed)


def settle_context(
    workload: Workload, profile: Profile, server: Mapping[str, float], fixed: Mapping[str, float]
) -> Context:
    """The limit in force where the requests fit into it, else one that they fit into, at most the model's own.

    `workload` has no phases. A limit that is fixed stays, however many requests it refuses. Any other becomes as low as
    the requests allow where the server would not start with it, as on a part of a GPU, or not with more than a few
    slots if nobody asked for it: slots are sought beside that, and then the server is launched with as much of what was
    `wanted` as they leave room for.
    """
    own, warnings = profile.memory.max_model_len, []
    asked = int(fixed.get("max_model_len", server.get("max_model_len", own)))
    limit = min(asked, own)
    if asked > own:
        warnings.append(
            f"max_model_len {asked:,} is above the {own:,} tokens of {profile.pair.model}: vLLM does not start with it"
        )
    stated = "max_model_len" in server or "max_model_len" in fixed
    held = _kv_tokens(workload, profile, fixed, few=False)
    room = held if stated else _kv_tokens(workload, profile, fixed, few=True)
    too_long = room < limit and "max_model_len" not in fixed
    if not too_long and _plainly_fit(workload, limit):
        return Context(limit, 0.0, workload, tuple(warnings))
    sample = _sample(workload)
    if too_long and (needed := min(covering(sample), limit)) <= held:
        refused = 0.0 if _plainly_fit(workload, needed) else _refused(sample, needed)
        if refused <= TOLERATED:
            counted_all = COUNTED if are_left_out(profile) else ""
            return Context(needed, refused, workload, tuple(warnings), limit, counted_all)
    if _plainly_fit(workload, limit):
        return Context(limit, 0.0, workload, tuple(warnings))
    refused = _refused(sample, limit)
    if refused > TOLERATED and limit < own and "max_model_len" not in fixed:
        raised = min(covering(sample), own)
        warnings.append(
            f"{refused:.1%} of the requests do not fit into max_model_len {limit:,}, and vLLM refuses them: "
            f"{raised:,} is recommended"
        )
        limit, refused = raised, _refused(sample, raised)
    if refused > TOLERATED:
        others = _accepted(workload, sample, limit)
        warnings.append(
            f"{refused:.1%} of the requests do not fit into max_model_len {limit:,}, and vLLM refuses them"
            + ("" if others is None else "; the answer is for the others")
        )
        return Context(limit, refused, others, tuple(warnings))
    return Context(limit, refused, workload, tuple(warnings))


def accepted(workload: Workload, limit: int) -> Workload | None:
    """The traffic of requests up to `limit` tokens, all of it where hardly any is longer; None where none is left."""
    if _plainly_fit(workload, limit):
        return workload
    sample = _sample(workload)
    return workload if _refused(sample, limit) <= TOLERATED else _accepted(workload, sample, limit)


def refused_share(workload: Workload, limit: int) -> float:
    """Of the requests, those longer than `limit` tokens."""
    return 0.0 if _plainly_fit(workload, limit) else _refused(_sample(workload), limit)


def covering_len(workload: Workload) -> int:
    """A limit, in multiples of STEP tokens, that refuses no more of the requests than is tolerated."""
    return covering(_sample(workload))


def covering(sample: Requests) -> int:
    """A limit, in multiples of STEP tokens, that refuses no more of these requests than is tolerated."""
    return math.ceil(float(np.quantile(_tokens(sample), 1 - TOLERATED)) / STEP) * STEP


def _plainly_fit(workload: Workload, limit: int) -> bool:
    traffic = workload.traffic
    mean, std = traffic.input_mean + traffic.output_mean, traffic.input_std + traffic.output_std
    return bool((mean + SPREADS * std)[traffic.rate > 0].max(initial=0.0) <= limit)


def _sample(workload: Workload) -> Requests:
    """Requests as they come, whenever that is."""
    traffic = workload.traffic
    plain = replace(traffic, cv=np.ones_like(traffic.cv), lognormal_gaps=None)
    return draw(plain, SAMPLE / float(traffic.rate.sum()), seed=0)


def _kv_tokens(workload: Workload, profile: Profile, fixed: Mapping[str, float], *, few: bool) -> int:
    """Tokens that the KV cache holds beside `few` slots of a rank that half of the adapters need; else beside the
    fewest there can be, of the smallest rank that will do for any adapter."""
    slots = min(len(workload), FEW_SLOTS) if few else 1
    needed = float(np.median(workload.rank) if few else workload.rank.min())
    rank = int(fixed.get("max_lora_rank", slot_rank(needed)))
    memory = with_settings(profile, fixed).memory
    return memory.kv_capacity_tokens(int(fixed.get("max_loras", slots)), rank, memory.gpu_memory_utilization)


def _tokens(sample: Requests) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return sample.input.astype(np.int64) + sample.output


def _refused(sample: Requests, limit: int) -> float:
    return float(np.mean(_tokens(sample) > limit))


def _accepted(workload: Workload, sample: Requests, limit: int) -> Workload | None:
    """The traffic without what is refused: of every adapter the same share, with lengths as those that are left."""
    fits = _tokens(sample) <= limit
    if not fits.any():
        return None

    def ratio(lengths: np.ndarray[tuple[int], np.dtype[np.int32]], of: str) -> float:
        whole = float(getattr(lengths, of)())
        return float(getattr(lengths[fits], of)()) / whole if whole else 1.0

    def left(of: Workload) -> Workload:
        return replace(
            of,
            rate=of.rate * float(fits.mean()),
            input_mean=np.maximum(of.input_mean * ratio(sample.input, "mean"), 1.0),
            input_std=of.input_std * ratio(sample.input, "std"),
            output_mean=np.maximum(of.output_mean * ratio(sample.output, "mean"), 1.0),
            output_std=of.output_std * ratio(sample.output, "std"),
            input_quantiles=(),
            output_quantiles=(),
            tables=(),
            base=None if of.base is None else left(of.base),
        )

    return left(workload)
