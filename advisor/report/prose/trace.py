"""The trace in sentences: one for every decision, with its numbers and their units, and the rule's conditions below it.

Written from the same steps as the complete trace, so that the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from advisor.recommend.answer.outlook import Binding
from advisor.recommend.answer.reasons import (
    Asked,
    FewerAdapters,
    Fixed,
    Kept,
    Missed,
    NextRank,
    Quotient,
    Reason,
    Shorter,
    SlotsMemory,
    Waits,
)
from advisor.recommend.answer.recommendation import Recommendation, Step
from advisor.report.prose.features import conditions, number
from advisor.report.prose.outlook import WITH_TRAFFIC
from advisor.zoo.tree import Met, Product
from twin.settings import LORA_RANKS


@dataclass(frozen=True, slots=True)
class Decision:
    """A step in words."""

    sentence: str
    because: tuple[str, ...]
    """The conditions of the rule that led to it."""


def decisions(recommendation: Recommendation) -> Iterator[Decision]:
    """Every step of the trace in words, each term explained where it first stands."""
    explained, trace, binding = set[str](), recommendation.trace, recommendation.binding
    unit = recommendation.basis.unit
    last = {step.output: i for i, step in enumerate(trace)}
    for i, step in enumerate(trace):
        idle = recommendation.admission.idle
        more = [] if binding is None or last[step.output] != i else _more(step, binding, WITH_TRAFFIC if idle else "")
        if step.output == "adapters" and idle:
            more = [f"With the {idle:,} that are never asked, {recommendation.admission.adapters:,}"]
        met = [reason for reason in step.reasons if isinstance(reason, Met)]
        product = next((reason for reason in step.reasons if isinstance(reason, Product)), None)
        texts = (reason for reason in step.reasons if isinstance(reason, str))
        yield Decision(
            ". ".join([_sentence(step, unit), *more]),
            (*conditions(met, product, explained, unit), *texts),
        )


def _sentence(step: Step, unit: str) -> str:
    """The number, what it is, and what the first reason says that is no condition of a rule."""
    value = number(step.result)
    named = {
        "load_limit": f"{value} tokens/s is the rules' first estimate of what one {unit} serves of this mix "
        "(load limit)",
        "admission_limit": f"{value} adapter{'' if step.result == 1 else 's'}",
        "adapters": f"{value} adapter{'' if step.result == 1 else 's'} admitted",
        "max_lora_rank": f"Slots of rank {value}",
        "max_loras": f"{value} slot{'' if step.result == 1 else 's'}",
    }
    told = (_of_adapters(reason, step) or _of_slots(reason, step) for reason in step.reasons)
    return named.get(step.output, f"{step.output} is {value}") + next((words for words in told if words), "")


def _of_adapters(reason: Reason, step: Step) -> str:
    """What follows a number of adapters."""
    told = ""
    match reason:
        case Quotient():
            beside = f", beside {reason.base:,.0f} tokens/s that name no adapter" if reason.base else ""
            brings = "brings" if step.result == 1 else "bring"
            told = f" {brings} that load, at {number(reason.each)} tokens/s each{beside}"
        case Missed() if step.output == "admission_limit":
            are = "is" if step.result == 1 else "are"
            told = f" {are} the most (admission limit): with {reason.count:,}, {'; '.join(reason.misses)}"
        case Kept():
            told = " (admission limit), beyond what the rules say: the models are sure of so many"
        case Asked() if reason.of <= reason.limit:
            told = f": all {reason.which}"
        case Asked():
            told = f", of the {reason.of:,} {reason.which}"
    return told


def _of_slots(reason: Reason, step: Step) -> str:
    """What follows a number of slots, or their rank."""
    told = ""
    match reason:
        case Missed() if step.output != "admission_limit":
            told = f" instead, for with {reason.count:,}: {'; '.join(reason.misses)}"
        case Fixed():
            told = ", fixed in the inventory"
        case NextRank() if reason.largest == reason.rank:
            told = ", for that is the largest adapter's, and all slots are alike"
        case NextRank():
            told = f", for the largest adapter has {reason.largest} and vLLM's have {', '.join(map(str, LORA_RANKS))}"
        case FewerAdapters():
            told = f", one for each adapter: the rules would have {reason.wanted:,}"
        case Waits() if reason.growth and _all_wait(step):
            told = f", some to spare for bursts; those of {reason.growth:g} times the traffic fill them all the same"
        case Waits() if reason.growth:
            told = f", some to spare: with {reason.growth:g} times the traffic {_waiting(step)}"
        case Shorter():
            told = (
                f" instead: a step takes {number(reason.itl_ms)} ms with them, with {reason.more:,} "
                f"{number(reason.more_itl_ms)} ms, and the objective is as likely"
            )
        case SlotsMemory() if reason.kv_tokens < reason.max_model_len:
            told = (
                f" fit into memory: {reason.slots:,} of rank {reason.rank} leave {max(reason.kv_tokens, 0):,} tokens "
                f"of KV cache, less than one request of max_model_len {reason.max_model_len:,}"
            )
        case Met() | Product() if step.output == "max_loras":
            told = " by the rules" if all(isinstance(each, Met | Product) for each in step.reasons) else ""
    return told


def _all_wait(step: Step) -> bool:
    """Whether nobody is spared a wait, as far as the shares are told."""
    return all(f"{each.share:.0%}" == "100%" for each in step.reasons if isinstance(each, Waits))


def _waiting(step: Step) -> str:
    waits = [reason for reason in step.reasons if isinstance(reason, Waits)]
    return " and ".join(f"{each.share:.0%} of the requests would wait for one of {each.slots:,}" for each in waits)


def _more(step: Step, binding: Binding, with_traffic: str) -> list[str]:
    """What there is to say of a number that stays, beside what led to it; `with_traffic` as in `_in_flight`."""
    if step.output == "admission_limit" and binding.load < 1 and not binding.at_least:
        return [f"Asked of one size after the other, the models end at {binding.adapters:,}"]
    if step.output == "max_loras":
        costs = f"Each further slot costs {binding.slot_tokens:,.0f} tokens of KV cache"
        return [*([_in_flight(binding, int(step.result), with_traffic)] if binding.admitted > 1 else []), costs]
    return []


def _in_flight(binding: Binding, slots: int, with_traffic: str) -> str:
    """How many adapters want a slot, and when requests wait for one; `with_traffic` says which, where some are idle."""
    wanting = binding.in_flight.adapters
    about = f"About {wanting:,.0f}" if wanting >= 1 else "Less than one"
    has = "has" if wanting < 1.5 else "have"
    if slots >= binding.admitted:
        waits = "each has a slot, and no request waits for one"
    elif binding.in_flight.shares["adapter_slots"] > 1:
        waits = "more of them than slots, so that requests wait for one"
    else:
        waits = f"when more than {slots:,} have, requests wait for a slot"
    return (
        f"{about} of the {binding.admitted:,} adapters{with_traffic} {has} a request in flight at any moment; {waits}"
    )
