"""From an inventory to a recommendation: how many adapters, which, under which settings, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from advisor.derive.llm import modules
from advisor.errors import InputError
from advisor.features.vector import ESTIMATES, MIX_FEATURES, PROPORTIONS, SERVING_FEATURES, UNITS
from advisor.inventory.inventory import Inventory
from advisor.names import counted
from advisor.recommend.answer.counted import Counted
from advisor.recommend.answer.distribution import coherent
from advisor.recommend.answer.recommendation import RUNTIME, Admission, Change, Recommendation
from advisor.recommend.choice.configuration import bursts_unknown
from advisor.recommend.choice.search import Choice
from advisor.recommend.choice.selection import Selection, Selector
from advisor.recommend.further_flags import further_flags
from advisor.recommend.load import Load, load_of
from advisor.recommend.objective import PERCENTILES_OFF, Objective
from advisor.recommend.server import host_memory
from advisor.recommend.server.context import settle_context
from advisor.recommend.server.launched import refusal, with_settings
from advisor.recommend.server.lora_cost import without_lora
from advisor.recommend.uncertainty import hedged
from advisor.recommend.unlearned import unlearned
from advisor.together import groups
from advisor.zoo.pair import Pair
from twin.service_level import words
from twin.settings import slot_rank


def recommend(
    inventory: Inventory, pair: Pair, objective: Objective, selector: Callable[..., Selector] = Selector
) -> Recommendation:
    """Settings, admission, expectation and the rules behind them, all of the same set.

    The shipped models say which adapters one GPU serves, and how, unless another `selector` is given: of a pair that
    nobody measured they admit what nine of ten servers bear, and expect what the middle one does.

    Raises:
        InputError: a shipped file is missing or altered, or vLLM refuses the settings that are fixed.
    """
    if pair.profile.derivation is None or selector is not Selector:
        answer = _recommend(inventory, pair, objective, selector)
    else:
        answer = hedged(inventory, pair, objective, _recommend)
    if answer.expected is not None:  # only now: what is admitted hangs on the figures as they were predicted
        answer = replace(answer, expected=coherent(answer.expected))
    return replace(answer, counted=Counted.of(inventory.counted_requests))


def _recommend(
    inventory: Inventory, pair: Pair, objective: Objective, selector: Callable[..., Selector] = Selector
) -> Recommendation:
    """The answer of a pair whose Profile is taken as it is."""
    profile, fixed = pair.profile, dict(inventory.fixed)
    if refused := refusal(fixed, profile):
        raise InputError(f"vLLM refuses the fixed settings: {refused}")
    context = settle_context(inventory.mix, profile, inventory.server, fixed)
    if context.max_model_len != profile.memory.max_model_len:
        fixed["max_model_len"] = context.max_model_len
    of_modules = modules.notes(inventory.target_modules.values(), pair.shape, pair.model)
    warnings = [*context.warnings, *pair.notes, *of_modules]
    if selector is Selector:
        warnings += unlearned(inventory.workload, pair)
    if context.accepted is None:
        reason = f"no request fits into max_model_len {context.max_model_len:,}"
        return _refusal(inventory, pair, objective, Choice(0, None, (), {}, reason), warnings)
    weights = host_memory.weights(inventory, pair)
    as_launched = replace(pair, profile=with_settings(profile, {"max_model_len": context.max_model_len}))
    chosen, told = selector(
        inventory, context.accepted, as_launched, objective, fixed, weights, context.wanted
    ).select()
    choice = chosen.choice
    warnings = _extrapolations(pair, choice.values, MIX_FEATURES) + warnings + told
    if choice.configuration is None:
        if objective.of_percentiles and selector is Selector:
            warnings.append(_of_percentile(objective))
        return _refusal(inventory, pair, objective, choice, warnings)
    settings, expected = choice.configuration.settings, choice.configuration.expected
    flags = {**settings.flags(profile.memory.max_model_len), **pair.flags}
    further = [name for name in SERVING_FEATURES if name not in MIX_FEATURES]
    if not expected.hours:
        warnings += _extrapolations(pair, choice.configuration.values, further)
    served = context.accepted.take(chosen.candidates.order[: choice.size])
    if not expected.hours and bursts_unknown(served, pair):
        warnings.append(
            f"of more than {pair.models.manifest.max_adapters:,} adapters the models know no bursts: requests that are "
            "seldom are taken as Poisson arrivals, which admits fewer adapters and expects longer steps than may be"
        )
    if objective.of_percentiles and not expected.hours:
        warnings.append(_of_percentile(objective))
    warnings += context.told(settings, expected.kv_capacity_tokens)
    if choice.configuration.memory_bound and not context.wanted:
        warnings.append(
            f"memory allows only {settings.max_loras} adapter slots: the KV cache must hold one request of "
            "max_model_len tokens; a smaller max_model_len in [server] that still covers your requests allows more"
        )
    if (today := float(inventory.server.get("gpu_memory_utilization", 1.0))) < settings.gpu_memory_utilization:
        warnings.append(
            f"gpu_memory_utilization is {today:g} today and {settings.gpu_memory_utilization:g} in this answer: where "
            "something else needs the rest of the memory, say so under [fixed]"
        )
    served_names = [inventory.names[i] for i in chosen.adapters]
    if inventory.dynamic:
        warnings.append(
            f"adapters come and go: {next(iter(RUNTIME))}=True has vLLM load them when asked to "
            f"(/v1/load_lora_adapter), by whoever reaches the port, up to rank {settings.max_lora_rank}"
        )
    admitted = inventory.take(chosen.adapters)
    warnings += _simultaneous(admitted, load_of(pair, choice.configuration), asked=not expected.hours)
    held = host_memory.held(inventory, pair, weights, chosen.adapters, settings)
    warnings += host_memory.warnings(inventory, held, chosen.host, len(inventory))
    return Recommendation(
        basis=pair.basis,
        settings=settings,
        flags=flags,
        admission=_admission(inventory, chosen),
        expected=replace(expected, refused_share=context.refused_by(settings, inventory.mix)),
        steady=objective.steady(expected),
        trace=(*choice.trace, *choice.configuration.trace),
        warnings=tuple(warnings),
        changes=_changes(inventory, flags),
        without_lora=without_lora(served, profile, settings),
        host_memory=held,
        further=further_flags(inventory, pair, objective, choice.configuration, served_names),
        environment=RUNTIME if inventory.dynamic else {},
        objective=objective,
    )


def _extrapolations(pair: Pair, values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """A warning for each feature of the inventory outside the range that the models were trained on."""
    warnings = []
    for name in (name for name in names if name in values and name not in ESTIMATES):
        low, high = pair.models.manifest.range.get(name, (-math.inf, math.inf))
        value, slack = values[name], 1e-6 * max(abs(low), abs(high))
        if not low - slack <= value <= high + slack:
            unit = f" ({UNITS[name]})" if name in PROPORTIONS else f" {UNITS[name]}" if UNITS[name] else ""
            value = value if abs(value) > slack else 0.0  # but for rounding
            warnings.append(f"{name} is {value:.4g}{unit}, outside the {low:.4g} to {high:.4g} of the training data")
    return warnings


def _of_percentile(objective: Objective) -> str:
    """How little the models know of a percentile that is limited, and who knows more."""
    names = [words(name) for name, limit in objective.limits.items() if not limit.is_mean]
    limited = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} limited"
    off = f"{limited}: the models know percentiles no better than to a factor of {PERCENTILES_OFF:g}"
    return f"{off}; the digital twin can tell"


def _simultaneous(admitted: Inventory, load: Load, *, asked: bool) -> Iterator[str]:
    """A warning for each of the largest groups of adapters that are asked at the same moment; where the models were
    `asked`, that they know nothing of that."""
    independent = (
        " (the models know them as independent; what they wait for each other, and how full steps become, is added by "
        "formulas)"
    )
    slots = load.settings.max_loras
    for members in sorted(groups(admitted), key=len, reverse=True)[:3]:
        size, group = len(members), admitted.together[admitted.names[members[0]]]
        tokens = float(admitted.workload.input_mean[members].sum())
        _, whole_ms = load.prefill_ms(tokens, load.settings.max_num_batched_tokens)
        waits = f"; with {counted(slots, 'slot')} some wait for a whole answer" if slots < size else ""
        yield (
            f"the {size:,} adapters of {group!r} are asked at the same moment{independent if asked else ''}: "
            f"{tokens:,.0f} prompt tokens come at once then, and the last request has its first token after "
            f"{whole_ms:,.0f} ms at least{waits}{'; let the digital twin verify' if asked else ''}"
        )


def _admission(inventory: Inventory, chosen: Selection) -> Admission:
    mix = inventory.mix.take(chosen.adapters)
    base = mix.base
    admitted = set(chosen.adapters.tolist())
    rejected = tuple(name for i, name in enumerate(inventory.names) if i not in admitted)
    ranks = {asks: slot_rank(float(mix.rank[(mix.rate > 0) == asks].max(initial=1.0))) for asks in (True, False)}
    return Admission(
        of=len(inventory),
        request_rate=float(mix.rate.sum()),
        token_rate=mix.offered_tok_s - mix.base_tok_s,
        base_request_rate=0.0 if base is None else float(base.rate.sum()),
        base_token_rate=mix.base_tok_s,
        admitted=tuple(name for i, name in enumerate(inventory.names) if i in admitted),
        rejected=rejected,
        principle=chosen.candidates.principle if rejected else "",
        idle=int((mix.rate == 0).sum()),
        idle_slot_rank=ranks[False] if ranks[False] > ranks[True] else 0,
    )


def _changes(inventory: Inventory, flags: Mapping[str, int | float | str]) -> tuple[Change, ...]:
    """Where the recommendation differs from the settings in force today."""
    return tuple(
        Change(name, today, recommended)
        for name, recommended in flags.items()
        if (today := inventory.server.get(name)) is not None and today != recommended
    )


def _refusal(
    inventory: Inventory, pair: Pair, objective: Objective, chosen: Choice, warnings: Sequence[str]
) -> Recommendation:
    return Recommendation(
        basis=pair.basis,
        settings=None,
        flags={},
        admission=Admission(len(inventory), 0.0, 0.0, admitted=(), rejected=inventory.names),
        expected=None,
        steady=False,
        trace=chosen.trace,
        warnings=tuple(warnings),
        reason=chosen.reason,
        objective=objective,
    )
