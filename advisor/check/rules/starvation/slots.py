"""Slots with which requests will starve.

Adapters that are asked at the same moment each need a slot on the GPU. A request whose adapter has none is passed over
until one is free, while others overtake it; with too few slots the queue grows all hour. Too many slots take memory
from the KV cache and lengthen every step. The pair's models, trained on simulated hours of this LLM on this GPU, say
what to expect of the file's own settings; beside it stands what is recommended.

An error where a steady hour is less likely than not, a warning where it is not as likely as a recommendation has to be.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from advisor.recommend.objective import Expectation, Objective
from twin.service_level import words
from twin.settings import LORA_RANKS

RULE = Rule("AD201", "will-starve", Severity.ERROR, __doc__ or "")
LIKELY = 0.5


def check(server: Server) -> Iterator[Finding]:
    """Ask the models what to expect of the settings as the file has them."""
    target, settings = server.comparable, server.numbers()
    if target is None or settings is None or server.lora is not True or server.as_recommended:
        return
    # What vLLM refuses is told by other rules; here it counts as it was meant.
    rank = int(settings["max_lora_rank"])
    right = rank in LORA_RANKS and rank >= target.largest_rank
    in_host = max(settings["max_cpu_loras"], settings["max_loras"])
    room = max(in_host, len(target.served))
    meant = settings | {"max_lora_rank": rank if right else target.slot_rank, "max_cpu_loras": room}
    if (batched := settings.get("max_num_batched_tokens")) is not None:
        meant["max_num_seqs"] = min(settings.get("max_num_seqs", target.profile.serving.max_num_seqs), batched)
    expected, advice = target.expects(meant), target.recommendation
    if expected is None or not target.objective.misses(expected) or advice.expected is None or advice.settings is None:
        return
    slots, better = int(settings["max_loras"]), target.slots
    changes = {"max_loras": better}
    if server.given("max_cpu_loras") is not None and in_host < better:
        changes["max_cpu_loras"] = target.host_slots
    late = target.objective.late(expected)
    severity = Severity.ERROR if late or expected.chance < LIKELY else Severity.WARNING
    adapters = advice.admission.adapters
    yield RULE.finding(
        server,
        f"{server.says('max_loras')}: {slots:,} slot{'' if slots == 1 else 's'} for {adapters:,} adapters "
        f"{'will' if severity is Severity.ERROR else 'may'} starve their requests",
        server.place("max_loras"),
        why=f"expected {told(expected, target.objective)}; with the recommended {better:,} slots "
        f"{told(advice.expected, target.objective)}{target.counted}",
        fix=server.written(**changes) if better != slots else None,
        severity=severity,
    )


def told(expected: Expectation, objective: Objective) -> str:
    """The figures that a user would notice; of the TTFT what is limited."""
    ttft = objective.shown("ttft")
    first_token = "first token" if objective.ttft_limit.is_mean else f"first token ({words(ttft)})"
    return (
        f"{expected.throughput_tok_s:,.0f} tokens/s, {expected.time_ms(ttft) / 1e3:,.3g} s to the {first_token}, "
        f"a steady hour {expected.chance:.0%} likely"
    ) + "".join(f", {shortage}" for shortage in expected.shortages)
