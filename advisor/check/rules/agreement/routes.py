"""More adapters than KServe's route can hold.

KServe writes one HTTPRoute for an LLMInferenceService, with matches for the base model and for every adapter. The
Gateway API bounds them: beyond that the route can no longer be updated, and the new adapters are not reachable. Beyond
16 names it is full in every version; with exact matches of newer ones it is full with 7 adapters.

Set the annotation serving.kserve.io/lora-model-routing-strategy: regex, where your KServe knows it.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Fix, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD407", "more-adapters-than-routes", Severity.ERROR, __doc__ or "")
ROUTES, EXACT = 16, 7
STRATEGY = "lora-model-routing-strategy"


def check(server: Server) -> Iterator[Finding]:
    """Count the adapters of an LLMInferenceService."""
    adapters = server.deployment.adapters
    if "LLMInferenceService" not in server.deployment.kind or len(adapters) <= EXACT or STRATEGY in server.text:
        return
    full = len(adapters) > ROUTES
    first = ROUTES if full else EXACT
    holds = "holds" if full else "may hold"
    yield RULE.finding(
        server,
        f"{len(adapters):,} adapters: the route that KServe writes {holds} no more than {first}",
        adapters[first].place,
        why="the Gateway API bounds the matches of a rule, and KServe writes some for every adapter",
        fix=Fix(f"the annotation serving.kserve.io/{STRATEGY}: regex, or services of fewer adapters"),
        severity=Severity.ERROR if full else Severity.WARNING,
    )
