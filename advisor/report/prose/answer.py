"""The parts of an answer in words: rows of a label and what is said, for a terminal as for a page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from advisor.names import counted, few, listed
from advisor.recommend.answer.recommendation import CAREFUL, MIDDLE, Recommendation
from advisor.recommend.objective import PERCENTILES_OFF, Expectation
from advisor.report.prose.outlook import effect, end_expected, idle, rests_on
from twin.service_level import PERCENTS, words

Row = tuple[str, str]
"""A label and what is said; a row without a label goes on with what the one before it says."""
SURE = 0.99
"""A chance above it is told as no more than that: the models know none better."""
MANY = 0.01
"""Of the requests: that such a share is refused belongs to the first line."""
FIRST_TOKEN = " (time to first token)"


def headline(recommendation: Recommendation) -> str:
    """Whether it fits, on what that rests, and how little is known of the traffic, a line each."""
    admission, refusing = recommendation.admission, _refusing(recommendation)
    if not recommendation.feasible:
        what = f"not feasible: {recommendation.reason}"
    elif admission.adapters == admission.of:
        everyone = "the one adapter" if admission.of == 1 else f"all {_adapters(admission.of)}"
        what = f"{_server(recommendation)} serves {everyone}{refusing}"
    else:
        some = f"{admission.adapters:,} of {_adapters(admission.of)} of this mix"
        what = f"{_server(recommendation)} serves {some}{refusing}"
    return "\n".join(
        filter(None, (f"{recommendation.basis.pair}: {what}", str(recommendation.basis), rests_on(recommendation)))
    )


def _refusing(recommendation: Recommendation) -> str:
    """What belongs to that in one breath: requests that are refused, where they are many."""
    share = 0.0 if recommendation.expected is None else recommendation.expected.refused_share
    return f", but vLLM refuses {share:.0%} of the requests, longer than max_model_len" if share >= MANY else ""


def _server(recommendation: Recommendation) -> str:
    basis = recommendation.basis
    return f"one {basis.unit}" if basis.gpus == 1 else f"one {basis.unit} of {basis.gpus} GPUs"


def _adapters(count: int) -> str:
    return f"{count:,} adapter" + ("" if count == 1 else "s")


def _requests(rate: float) -> str:
    told = f"{rate:,.4g}"
    return f"{told} request{'' if told == '1' else 's'}/s"


def command(recommendation: Recommendation) -> str:
    """What to paste; empty where nothing is feasible."""
    if not recommendation.feasible:
        return ""
    environment = "".join(f"{name}={shlex.quote(value)} " for name, value in recommendation.environment.items())
    serve = f"{environment}vllm serve {shlex.quote(recommendation.basis.model)}"
    return " \\\n    ".join([serve, *map(shlex.quote, recommendation.args)])


def admission(recommendation: Recommendation) -> Iterator[Row]:
    """Who is admitted, and by what."""
    if not recommendation.feasible:
        return
    admitted = recommendation.admission
    yield (
        "admitted",
        f"{admitted.adapters:,} of {_adapters(admitted.of)}: "
        f"{_requests(admitted.request_rate)}, {few(admitted.token_rate)} tokens/s",
    )
    if admitted.idle:
        in_host = admitted.adapters if recommendation.settings is None else recommendation.settings.max_cpu_loras
        yield "idle", idle(admitted, in_host)
    if (known := recommendation.uncertainty) and known.up_to > admitted.adapters:
        yield "", f"by {CAREFUL} of what is known; {known.up_to:,} by {MIDDLE}"
    if host := recommendation.host_memory:
        held = f"{host.gib:,.{1 if host.gib >= 0.1 else 2}f} GiB for the {_adapters(host.adapters)} of max_cpu_loras"
        yield "host memory", f"{held}{host.copies}"
    if (objective := recommendation.objective) is not None:
        within = "".join(
            f", {words(name)}{FIRST_TOKEN if name.startswith('ttft') else ''} within {limit.seconds:g} s"
            for name, limit in objective.limits.items()
        )
        yield "objective", f"{objective.name}: no requests starve{within}"
    if rate := admitted.base_request_rate:
        base = f"{_requests(rate)} that name no adapter, {few(admitted.base_token_rate)} tokens/s"
        yield "base model", f"beside them {base}"
    if rejected := admitted.rejected:
        yield "rejected", listed(rejected)
        yield "principle", admitted.principle
        units = f"{recommendation.basis.unit}s"
        yield "elsewhere", f"`advisor place` says on how many {units} all of them are served, and who goes where"


def expectation(recommendation: Recommendation) -> str:
    """The title of what to expect; empty where nothing is feasible."""
    if not recommendation.feasible:
        return ""
    figures = recommendation.figures()
    simulated = figures.get("simulated_hours")
    means = _likely(recommendation)
    if simulated:
        means = f", simulated, not predicted: means of {counted(simulated, 'hour')}"
    return f"Expected{end_expected(recommendation)}: {_state(figures)}{means}"


def _likely(recommendation: Recommendation) -> str:
    """How sure the models are of an hour like that."""
    expected = recommendation.expected
    if expected is None or not recommendation.steady:
        return ""
    if (rates := recommendation.counted) is not None and rates.few:  # the chance is of rates that are known
        return f" if no more comes than was counted, which {counted(rates.requests, 'request')} hardly tell"
    return f", {f'more than {SURE:.0%}' if expected.chance > SURE else f'{expected.chance:.0%}'} sure"


def derived(recommendation: Recommendation) -> Iterator[Row]:
    """Of which servers the figures are, and what would tell more."""
    if (known := recommendation.uncertainty) is None:
        return
    yield "careful end", "what nine of ten such servers do no worse than: adapters are admitted by it"
    if known.ranges:
        yield "the middle", "the likeliest such server; in brackets, between which ends it likely is"
    yield "least known", known.decisive
    yield "told by", known.measured_by


def expected(recommendation: Recommendation) -> Iterator[Row]:
    """What to expect."""
    if not recommendation.feasible:
        return
    figures = recommendation.expected
    yield from _figures(recommendation.figures())
    if (plain := recommendation.without_lora) and recommendation.binding is None:  # else it is among what would help
        one_token = figures is not None and figures.one_token
        time = f"{'a step of' if one_token else 'ITL'} {plain.itl_ms:,.1f} ms"
        yield "without LoRA", f"{time}, and {plain.load_ratio:.3g} times the tokens/s at most"
    yield "reading", _reading(figures)


def _reading(expected: Expectation | None) -> str:
    """What the figures mean."""
    if expected is not None and expected.one_token:
        return "there is no ITL, the time to a next token: answers have one; the mean TTFT, then percentiles"
    meaning = "ITL is the time from one token of an answer to the next: the mean, then percentiles"
    known = expected is None or expected.hours or not expected.percentiles
    return meaning if known else f"{meaning}, off by a factor of {PERCENTILES_OFF:g} at times"


def verified(recommendation: Recommendation) -> tuple[str, list[Row]]:
    """A title and what the digital twin made of the answer and its neighbours; nothing where it was not asked."""
    measures = recommendation.verified
    if not measures:
        return "", []
    missed = [("missed", each) for each in measures["missed"]]
    beside = [(each["change"], _beside(each)) for each in measures.get("neighbours", ())]
    at_end = ""
    if "careful_end" in measures:  # what adapters are admitted by, and neighbours are compared at
        at_end = f" at {CAREFUL}"
        beside = [(CAREFUL.removeprefix("the "), _beside(measures["careful_end"])), *beside]
    if "best" in measures:
        better = [each["change"] for each in measures["neighbours"] if each["better"]]
        beside.append(("the best", f"no: better{at_end} are {' and '.join(better)}" if better else _best(measures)))
    middle = "" if recommendation.uncertainty is None else f" of {MIDDLE}"
    return f"Digital twin{middle}: {_state(measures)}", [*_figures(measures), *missed, *beside]


def _beside(neighbour: Mapping[str, Any]) -> str:
    """What the twin measured of a neighbour."""
    shown = (("throughput_tok_s", "{:,.0f} tokens/s"), ("itl_ms", "ITL {:,.1f} ms"), ("ttft_ms", "TTFT {:,.0f} ms"))
    told = ", ".join(form.format(neighbour[key]) for key, form in shown if key in neighbour)
    return f"{told}; missed: {'; '.join(neighbour['missed'])}" if neighbour["missed"] else told


def _best(measures: Mapping[str, Any]) -> str:
    return "yes: none of these is better" if measures["best"] else "no; none of these is better, though"


def _state(figures: Mapping[str, Any]) -> str:
    if figures["starved"]:
        return "starved"
    return "steady" if figures["steady"] else "not steady, the TTFT is above the limit"


def _figures(figures: Mapping[str, Any]) -> list[Row]:
    shown = (
        ("throughput", "throughput_tok_s", ",.0f", "tokens/s"),
        ("ITL", "itl_ms", ",.1f", "ms"),
        ("TTFT", "ttft_ms", ",.0f", "ms"),
        ("KV cache", "kv_capacity_tokens", ",", "tokens"),
    )
    lines = [
        (label, f"{_figure(figures[key], digits)} {unit}{_range(figures, key)}{_percentiles(figures, key, digits)}")
        for label, key, digits, unit in shown
        if figures.get(key) is not None
    ]
    if refused := figures.get("refused_share"):
        lines.append(("refused", f"{refused:.2%} of the requests, longer than max_model_len"))
    return lines


def _figure(value: float, digits: str) -> str:
    """A figure as it is told; one that would be told as 0 by its first digits."""
    return f"{value:.1g}" if 0 < value < 0.5 and digits == ",.0f" else f"{value:{digits}}"


def _range(figures: Mapping[str, Any], key: str) -> str:
    """How far an estimate may be off."""
    low, high = figures.get(f"{key}_range", (None, None))
    return "" if low is None else f" ({low:,.0f} to {high:,.0f})"


def _percentiles(figures: Mapping[str, Any], mean: str, digits: str) -> str:
    """Those of a time, behind its mean; those that no hour was simulated for, as about so much."""
    measured = "simulated_hours" in figures or "arrivals" in figures
    about, digits = ("", digits) if measured else ("about ", ",.0f")
    found = {
        words: figures.get(mean.replace("_ms", f"_{words}_ms")) for words in PERCENTS.values() if mean.endswith("_ms")
    }
    told = [f"{words.upper()} {about}{time_ms:{digits}}" for words, time_ms in found.items() if time_ms is not None]
    return f"; {', '.join(told)}" if told else ""


def changes(recommendation: Recommendation) -> Iterator[tuple[str, str, str]]:
    """Settings, what they are today, and what they are to be: by the answer, and by further flags."""
    others = dict(each.flag.split(" ")[0].partition("=")[::2] for each in recommendation.further)
    for change in recommendation.changes:
        other = others.get(f"--{change.name.replace('_', '-')}", "")
        other = f"stays {other}" if other == str(change.today) else other
        further = f", or {other}: see further flags" if other not in ("", str(change.recommended)) else ""
        yield change.name, str(change.today), f"{change.recommended}{further}"


def levers(recommendation: Recommendation) -> Iterator[str]:
    """What would help, and how much."""
    for lever in recommendation.levers:
        yield f"{lever.change}: {effect(lever, recommendation)}"


def further(recommendation: Recommendation) -> Iterator[str]:
    """Flags that are no part of the answer."""
    for each in recommendation.further:
        yield f"{each.flag}: {each.why}"
