"""Features in words: what each says of a mix, so that the conditions of a rule read as sentences.

A feature that has no words here is told by its name and its unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from advisor.features.vector import UNITS
from advisor.zoo.tree import Met, Product


class Words(NamedTuple):
    """How a feature is told."""

    sentence: str
    """With {} where the value goes, its unit included: "prompts differ by {}"; with {unit} where what serves does."""
    unit: str = ""
    meaning: str = ""
    """What it is, told where it first stands; empty where the sentence says so."""


DIGITS = 4
"""Significant digits of numbers, enough to check products."""
ROUNDING = 1e-12
"""Up to it a number differs from 0 as sums of floats do."""
STANDARD = "standard deviation"
WORDS: dict[str, Words] = {
    "adapters": Words("the server has {}", "adapters"),
    "rate_mean": Words("an adapter is asked {} on average", "times/s"),
    "token_rate_mean": Words("an adapter brings {}", "tokens/s", "prompts and answers"),
    "rate": Words("all adapters together are asked {}", "times/s"),
    "token_rate": Words("requests bring {}", "tokens/s", "prompts and answers"),
    "rank_max": Words("the largest rank is {}"),
    "input_mean": Words("prompts have {} on average", "tokens"),
    "output_mean": Words("answers have {} on average", "tokens"),
    "cv_mean": Words("burstiness is {}", meaning="spread of the gaps between requests over their mean; 1: at random"),
    "base_share": Words("requests that name no adapter bring {} of the tokens"),
    "prefix_share": Words("adapters' prompts share {} of their tokens", meaning="in whole blocks of the KV cache"),
    "rate_spread": Words("request rates of adapters differ by {} times their mean", meaning=STANDARD),
    "rate_peak": Words("the busiest adapter is asked {} times as often as the mean one"),
    "rank_share": Words("the mean rank is {} of the one that slots are made for"),
    "input_spread": Words("prompts differ by {} times their mean", meaning=STANDARD),
    "output_spread": Words("answers differ by {} times their mean", meaning=STANDARD),
    "input_differs": Words("the adapter with the longest prompts has {} times the mean"),
    "output_differs": Words("the adapter with the longest answers has {} times the mean"),
    "dispersion": Words("traffic comes in lumps of {}", "tokens", "variance over mean of the tokens that arrive"),
    "estimated_load": Words("by the estimate one {unit} serves {}", "tokens/s", "of the pair, in equilibrium"),
    "saturated_load": Words("if requests may wait for slots, one {unit} serves {}", "tokens/s", "estimated"),
    "steady_load": Words("steadily one {unit} serves {}", "tokens/s", "estimated, for uneven traffic"),
    "saturated_share": Words("if requests may wait for slots, one {unit} serves {} times as much"),
    "dispersion_time": Words("traffic comes in lumps of {} of work", "s", "variance over mean of what arrives"),
    "answer_time": Words("an answer takes {} when the {unit} is full", "s", "estimated"),
    "prompt_time": Words("a prompt by itself takes {}", "s", "estimated"),
    "burst_time": Words("prompts of a burst wait {} for each other", "s", "estimated"),
    "hour_requests": Words("within an hour a full {unit} is asked for {}", "requests", "estimated"),
    "prompt_residual": Words("a prompt that comes during another waits {}", "s", "estimated"),
    "chunks": Words("a prompt takes {} of a step's token budget", meaning="1: all of it"),
    "limit_adapters": Words("by the estimate {} of this mix fill the {unit}", "adapters"),
    "limit_running": Words("a full {unit} answers {} at a time", "requests", "estimated"),
    "limit_active_share": Words("on a full {unit} {} of the adapters have a request in flight", meaning="estimated"),
    "limit_step": Words("a step of a full {unit} takes {} times that of an empty one", meaning="estimated"),
    "limit_kv": Words("a full {unit} holds {} of its KV cache", meaning="estimated; 1: all"),
    "limit_seats": Words("a full {unit} takes {} of the seats of its batch", meaning="estimated; 1: all"),
    "limit_budget": Words("steps of a full {unit} take {} of the token budget", meaning="estimated; 1: all"),
    "limit_graphs": Words("steps of a full {unit} have {} times the tokens from which arithmetic decides"),
    "limit_slots": Words("a full {unit} takes {} of the slots that memory allows", meaning="estimated; 1: all"),
    "limit_busiest": Words("on a full {unit} the busiest adapter has {} in flight", "requests", "estimated"),
    "kv_requests": Words("the KV cache holds {}", "requests", "of the mean length"),
    "load_time": Words("to load an adapter takes {} times an empty step", meaning="from the host's memory"),
    "async_scheduling": Words("steps are scheduled ahead: {}", meaning="1: yes, 0: no"),
    "ttft_limit": Words("the TTFT limit is {}", "s"),
    "steady_share": Words("unevenness leaves {} of the estimate"),
    "steady_load_share": Words("traffic is {} of what is steady by the estimate"),
    "prompt_share": Words("a prompt by itself takes {} of the TTFT limit"),
    "dispersion_share": Words("lumps of work take {} of the TTFT limit and half an answer"),
    "load_share": Words(
        "traffic is {} of what one {unit} serves by the estimate", meaning="1: all of it, in equilibrium"
    ),
    "active_adapters": Words("{} have a request in flight at any moment", "adapters", "estimated"),
    "active_share": Words("{} of the adapters have a request in flight", meaning="estimated"),
    "running": Words("{} are answered at a time", "requests", "estimated"),
    "prompt_load": Words("prompts take {} of the time", meaning="beyond what steps take anyway"),
    "estimated_slots": Words("by the estimate steps are shortest with {}", "slots"),
    "max_loras": Words("there are {}", "adapter slots"),
    "slots_share": Words("adapters in flight fill {} of the slots"),
    "slots_load_share": Words("traffic is {} of what so many slots allow", meaning="estimated"),
    "slots_per_adapter": Words("there are {} slots for each adapter"),
    "slots_step": Words("with so many slots a step takes {} times an empty one", meaning="estimated"),
    "slots_kv": Words("with so many slots {} of the KV cache is held", meaning="estimated; 1: all"),
    "slots_running": Words("with so many slots {} are answered at a time", "requests", "estimated"),
    "slots_spare": Words("of the slots {} standard deviations of the adapters in flight are free"),
    "kv_spare": Words("of the KV cache {} standard deviations of what is held are free"),
    "seats_spare": Words("of the batch's seats {} standard deviations of who runs are free"),
    "held_up": Words("the front end holds tokens up {} of the time"),
    "held_up_time": Words("the front end holds tokens up for {}", "s"),
    "queue_time": Words("chance piles up {} of work within an hour", "s", "estimated"),
    "buffer_time": Words("the batch has room for {} of work more", "s", "estimated"),
    "wait_time": Words("{} of work find no room", "s", "estimated"),
    "peakedness": Words("running requests vary {} times as much as independent ones", meaning="variance over mean"),
    "slot_wait": Words("requests wait {} for a slot", "s", "estimated"),
    "kv_wait": Words("requests wait {} for room in the KV cache", "s", "estimated"),
    "seat_wait": Words("requests wait {} for a seat in the batch", "s", "estimated"),
    "prompt_wait": Words("requests wait {} for prompts before them", "s", "estimated"),
    "first_token_share": Words("a first token takes {} of the TTFT limit", meaning="estimated"),
    "first_token_time": Words("a first token takes {}", "ms", "estimated"),
    "step_time": Words("a step takes {}", "ms", "estimated"),
}
"""By the names of features."""


def words_of(feature: str) -> Words:
    """The words of a feature, made of its name and unit where there are no others."""
    unit, _, meaning = UNITS.get(feature, "").partition(", ")
    return WORDS.get(feature) or Words(f"{feature.replace('_', ' ')} is {{}}", unit, meaning)


def conditions(met: Sequence[Met], product: Product | None, explained: set[str], unit: str = "GPU") -> Iterator[str]:
    """What the conditions say, a line for each feature with the value that met them; and what the rule multiplies.

    "prompts differ by 191 tokens (standard deviation), below 6,471". Meanings that are in `explained` are not told
    again; those that are told come to be in it. What serves is called a `unit`.
    """
    times = "" if product is None else f"; the rule takes {number(product.factor)} times that"
    for feature in dict.fromkeys(each.condition.feature for each in met):
        sides = [each for each in met if each.condition.feature == feature]
        told = " and ".join(map(_side, sides))
        value = number(sides[0].value, max(map(_digits, sides)))
        of_product = times if product is not None and product.feature == feature else ""
        yield f"{_told(feature, value, explained, unit)}, {told}{of_product}"
    if product is not None and product.feature not in (each.condition.feature for each in met):
        yield f"{_told(product.feature, number(product.value), explained, unit)}{times}"


def number(value: float, digits: int = DIGITS) -> str:
    """A number with so many significant digits, and no fewer than it has before the point; 0 but for rounding is 0."""
    value = value if abs(value) > ROUNDING else 0.0
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def _told(feature: str, value: str, explained: set[str], serving: str) -> str:
    words = words_of(feature)
    unit = words.unit.removesuffix("s") if value == "1" and words.sentence.endswith("{}") else words.unit
    sentence = words.sentence.format(f"{value} {unit}".strip(), unit=serving)
    if not words.meaning or words.meaning in explained:
        return sentence
    explained.add(words.meaning)
    return f"{sentence} ({words.meaning.format(unit=serving)})"


def _side(met: Met) -> str:
    bound = number(met.condition.threshold, _digits(met))
    return f"{'above' if met.condition.above else 'below' if met.value < met.condition.threshold else 'up to'} {bound}"


def _digits(met: Met) -> int:
    """As many as tell value and threshold apart, where they differ."""
    told = range(DIGITS, 10)  # nine digits tell any two float32 apart
    return next((d for d in told if number(met.value, d) != number(met.condition.threshold, d)), DIGITS)
