"""A server of adapters for another base model than the inventory's.

Adapters belong to the LLM that they were trained on, and what is expected and recommended is of one LLM on one GPU.

Check it against the inventory of its own adapters.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD401", "another-base-model", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the model with the inventory's, where LoRA is on: other servers are none of the inventory's business."""
    model = server.deployment.model
    if server.target is None or server.same_model is not False or model is None or server.lora is not True:
        return
    yield RULE.finding(
        server,
        f"the base model is {model.text}, the inventory's is {server.target.inventory.model}",
        model.place,
        why="adapters of one LLM do not fit another; nothing else is judged by this inventory",
    )
