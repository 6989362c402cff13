"""Another version of vLLM than the one that expectations are of.

A pair's models are of one version of vLLM. Others schedule and run LoRA faster or slower; what does not start does not
start in either.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD503", "another-vllm", Severity.REMARK, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the minor versions."""
    target, version = server.comparable, server.version
    if target is None or version is None or server.lora is not True:
        return
    measured = target.pair.vllm
    if version.split(".")[:2] != measured.split(".")[:2]:
        image = server.deployment.image
        yield RULE.finding(
            server,
            f"vLLM {version}, but expectations are of {measured}",
            image.place if image else server.deployment.place,
            why="another version may be faster or slower",
        )
