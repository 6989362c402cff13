"""A longest sequence beyond what the model was made for.

vLLM does not start where max_model_len is above the limit in the model's configuration.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD108", "max-model-len-above-the-models", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare max_model_len with the model's own limit, where the model is known to be the inventory's."""
    target, longest = server.judged, server.given("max_model_len")
    if target is None or longest is None or not server.same_model:
        return
    own = target.profile.memory.max_model_len
    if longest > own:
        yield RULE.finding(
            server,
            f"{server.says('max_model_len')} is above the {own:,} tokens of {target.profile.pair.model}: vLLM does not "
            "start",
            server.place("max_model_len"),
            why="the limit stands in the model's configuration",
            fix=server.written(max_model_len=own),
        )
