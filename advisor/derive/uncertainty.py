"""How far an answer may be off, out of how far each constant of a derived Profile may be.

Constants that are off for one reason are off together, and reasons are independent of each other: were all of them at
their worst at once, the answer would be far more pessimistic than nine of ten times need it. So each reason's effect on
a figure is taken alone, and the figure is off by the root of the sum of their squares. The Profile that gives just that
figure has each reason's constants moved towards their ends by that reason's share of the sum (the design point of
first-order reliability): where the ends of the intervals hold what 19 of 20 are below, so does the figure there. What
decides whether the server starts at all, the size of the KV cache, is at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twin.profile import LORA_TERMS, Loading, Profile

_BETTER_IF_MORE = {"memory.kv_tokens_base"}
"""Of all other constants more is worse."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why constants may be off together."""

    name: str
    """What is not known for sure, in words."""
    places: frozenset[str]
    """The constants, as a Profile's derivation names them."""
    measured_by: str
    """What would tell them."""


STEPS = Reason(
    "how long a step takes without LoRA",
    frozenset({"step.base_ms", "step.per_request_ms", "step.per_eager_token_ms"}),
    "the ITL of such a server at two or three loads (`python -m calibrate run` measures the whole pair)",
)
LORA = Reason(
    "what LoRA's kernels add to a step",
    frozenset(f"step.{name}" for name in LORA_TERMS),
    "the ITL of such a server with LoRA and without, or three minutes of `python -m calibrate kernels` on the GPU",
)
MEMORY = Reason(
    "the size of the KV cache",
    frozenset({"memory.kv_tokens_base"}),
    'the line "GPU KV cache size" that vLLM writes when it starts',
)
LOADING = Reason(
    "how long adapters take to load",
    frozenset(f"loading.{name}" for name in Loading.model_fields),
    "a look at how long vLLM takes to load one adapter",
)
REASONS = (STEPS, LORA, MEMORY, LOADING)

Figure = Callable[[Profile], float]
"""The logarithm of a figure of the answer, by the Profile."""


@dataclass(frozen=True, slots=True)
class Cautious:
    """The Profile that a careful answer is of."""

    profile: Profile
    decisive: Reason
    """What matters most of what is not known for sure."""


def cautious(profile: Profile, served: Figure) -> Cautious:
    """The Profile that nine of ten real servers do no worse than; `served` is more where more is served."""
    middle = served(profile)
    lost = {reason: max(middle - served(moved(profile, {reason: 1.0})), 0.0) for reason in REASONS}
    total = math.hypot(*lost.values())
    shares = {reason: each / total if total else 0.0 for reason, each in lost.items()}
    return Cautious(moved(profile, {**shares, MEMORY: 1.0}), max(REASONS, key=lambda reason: lost[reason]))


def extremes(profile: Profile) -> Iterator[tuple[Profile, Profile]]:
    """For each reason the Profile with its constants at their best ends, and at their worst."""
    for reason in REASONS:
        yield moved(profile, {reason: -1.0}), moved(profile, {reason: 1.0})


def interval(middle: float, ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """What a positive figure may be, lowest and highest, out of what it is at both ends of each reason."""
    ways = [[math.log(end / middle) for end in both] for both in ends]
    below = math.hypot(*(min(*each, 0.0) for each in ways))
    above = math.hypot(*(max(*each, 0.0) for each in ways))
    return middle * math.exp(-below), middle * math.exp(above)


def moved(profile: Profile, shares: Mapping[Reason, float]) -> Profile:
    """The same with the constants of these reasons so far from the middle towards their ends: 1 is worst, -1 best."""
    if profile.derivation is None:
        return profile
    changes: dict[str, dict[str, Any]] = {}
    for place, (low, high) in profile.derivation.intervals.items():
        share = next((share for reason, share in shares.items() if place in reason.places), 0.0)
        section, name = place.split(".")
        middle = getattr(getattr(profile, section), name)
        towards = share if place not in _BETTER_IF_MORE else -share
        end = high if towards > 0 else low
        changes.setdefault(section, {})[name] = middle + abs(towards) * (end - middle)
    sections = {name: getattr(profile, name).model_copy(update=each) for name, each in changes.items()}
    return profile.model_copy(update=sections)
