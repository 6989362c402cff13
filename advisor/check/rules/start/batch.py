"""Fewer tokens a step than requests that may run.

Every running request takes at least one token of a step's budget: vLLM does not start where max_num_batched_tokens is
below max_num_seqs.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD107", "batched-tokens-below-seqs", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the two where both are given."""
    tokens, requests = server.given("max_num_batched_tokens"), server.given("max_num_seqs")
    if tokens is None or requests is None or tokens >= requests:
        return
    yield RULE.finding(
        server,
        f"{server.says('max_num_batched_tokens')} below {server.says('max_num_seqs')}: vLLM does not start",
        server.place("max_num_batched_tokens"),
        why="a step must have a token for every running request",
    )
